#!/usr/bin/env node
// Puts together what the browser loads: node scripts/site.mjs <wasm-bindgen's output> <site> [brotli quality, 0-11]
//
//   <site>/pkg/<hash>/granary.js, granary.wasm, granary.css, everything in public/, and a .br beside each that shrinks
//   <site>/hash.txt   the hash, over every name and byte: files under it never change and are cached for ever
//
// When nothing changed nothing is written, so the server that embeds these files is not compiled again.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, extname, join, relative } from "node:path";
import { constants, brotliCompressSync } from "node:zlib";

const [bindgen, site, quality = "11"] = process.argv.slice(2);
if (!bindgen || !site || !/^([0-9]|1[01])$/.test(quality)) {
    console.error("usage: site.mjs <wasm-bindgen's output> <site> [brotli quality, 0-11]");
    process.exit(2);
}

/** Every file below a folder, as paths relative to it, in an order that does not depend on the file system. */
const walk = (folder) =>
    existsSync(folder)
        ? readdirSync(folder, { recursive: true, withFileTypes: true })
              .filter((entry) => entry.isFile())
              .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)))
              .sort()
        : [];

/** The tokens come first, then the base, then one file for each component. */
const first = ["tokens.css", "base.css"];
const rank = (name) => (first.includes(name) ? first.indexOf(name) : first.length);

/** Comments and indentation are for those who write it. No string of ours holds either. */
const lean = (css) => css.replace(/\/\*[^]*?\*\//g, "").replace(/\s*\n\s*/g, "\n").trim();

const stylesheet = () => {
    const parts = walk("style").filter((name) => name.endsWith(".css"));
    parts.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
    return Buffer.from(parts.map((name) => lean(readFileSync(join("style", name), "utf8"))).join("\n"));
};

const collect = () => {
    const files = new Map();
    const add = (name, content) => {
        if (files.has(name)) throw new Error(`two files want to be ${name}`);
        files.set(name, content);
    };
    for (const name of walk(bindgen)) {
        if (name.endsWith(".d.ts")) continue;
        // Leptos, compiled with LEPTOS_OUTPUT_NAME, asks for granary.wasm.
        add(name === "granary_bg.wasm" ? "granary.wasm" : name, readFileSync(join(bindgen, name)));
    }
    for (const name of ["granary.js", "granary.wasm"]) {
        if (!files.has(name)) throw new Error(`${bindgen} has no ${name}: run wasm-bindgen first`);
    }
    add("granary.css", stylesheet());
    for (const name of walk("public")) add(name, readFileSync(join("public", name)));
    return files;
};

const hashOf = (files) => {
    const hash = createHash("sha256").update(`brotli ${quality}\n`);
    for (const name of [...files.keys()].sort()) {
        hash.update(`${name}\n${files.get(name).length}\n`).update(files.get(name));
    }
    return hash.digest("hex").slice(0, 16);
};

const compressible = new Set([".css", ".ico", ".js", ".json", ".svg", ".txt", ".wasm", ".webmanifest", ".xml"]);
const compress = (name, content) => {
    if (!compressible.has(extname(name))) return null;
    // Found by trying all: with small blocks the codes fit better what follows, half a KB in all.
    const params = {
        [constants.BROTLI_PARAM_QUALITY]: Number(quality),
        [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
        [constants.BROTLI_PARAM_LGWIN]: 19,
        [constants.BROTLI_PARAM_LGBLOCK]: 16,
    };
    const small = brotliCompressSync(content, { params });
    return small.length < content.length ? small : null;
};

const put = (path, content) => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
};

const write = (files, hash) => {
    const made = join(site, `.new-${process.pid}`);
    const sizes = [];
    for (const [name, content] of files) {
        const small = compress(name, content);
        put(join(made, name), content);
        if (small) put(join(made, `${name}.br`), small);
        if (name.startsWith("granary.")) sizes.push(`${name} ${kb(content)} KB (${kb(small ?? content)} sent)`);
    }
    mkdirSync(join(site, "pkg"), { recursive: true });
    rmSync(join(site, "pkg", hash), { recursive: true, force: true });
    renameSync(made, join(site, "pkg", hash));
    put(join(site, `.hash-${process.pid}`), hash);
    renameSync(join(site, `.hash-${process.pid}`), join(site, "hash.txt"));
    console.log(`site: ${join(site, "pkg", hash)}: ${sizes.join(", ")}`);
};
const kb = (content) => (content.length / 1000).toFixed(1);

/** What an earlier run left: other hashes, and the unfinished work of a run that was ended. */
const tidy = (hash) => {
    for (const name of existsSync(join(site, "pkg")) ? readdirSync(join(site, "pkg")) : []) {
        if (name !== hash) rmSync(join(site, "pkg", name), { recursive: true });
    }
    for (const name of readdirSync(site)) {
        if (/^\.(new|hash)-\d+$/.test(name)) rmSync(join(site, name), { recursive: true });
    }
};

const files = collect();
const hash = hashOf(files);
const current = existsSync(join(site, "hash.txt")) ? readFileSync(join(site, "hash.txt"), "utf8") : "";
if (current !== hash || !existsSync(join(site, "pkg", hash))) {
    write(files, hash);
    tidy(hash);
}
