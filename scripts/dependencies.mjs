// Judges the crates Granary is built of: each one we name is used, each comes from the registry, and each may be given on under
// Granary's own license. Needs no network and nothing installed.
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Licenses whose code may be part of a program under the AGPL. */
const FINE = ["0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "OpenSSL", "Unicode-3.0", "Unlicense", "Zlib"];
/** Named in Cargo.toml for what they bring, not for what we call. */
const NAMED_ONLY = { aes: "its feature wipes round keys", "wasm-bindgen": "pinned to the program's version" };

const metadata = JSON.parse(execFileSync("cargo", ["metadata", "--format-version", "1", "--locked", "--all-features"], { maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "ignore"] }));
const own = metadata.packages.find(({ name, source }) => name === "granary" && source === null);
const findings = [];

/** Whether we may choose a license of an SPDX expression: any side of OR, every side of AND. */
const isFine = (expression) => {
    const words = expression.replaceAll("/", " OR ").replace(/[()]/g, " $& ").trim().split(/\s+/);
    const any = () => {
        let fine = all();
        while (words[0] === "OR") fine = (words.shift(), all()) || fine;
        return fine;
    };
    const all = () => {
        let fine = one();
        while (words[0] === "AND") fine = (words.shift(), one()) && fine;
        return fine;
    };
    const one = () => {
        if (words[0] === "(") {
            words.shift();
            const fine = any();
            words.shift();
            return fine;
        }
        let name = words.shift();
        if (words[0] === "WITH") name += ` ${words.shift()} ${words.shift()}`;
        return FINE.includes(name);
    };
    return any();
};

for (const { name, version, license, source } of metadata.packages) {
    if (name === own.name) continue;
    if (!source?.startsWith("registry+")) findings.push(`${name} ${version} does not come from the registry`);
    if (!license || !isFine(license)) findings.push(`${name} ${version} has the license “${license}”, which is none of ${FINE.join(", ")}`);
}

const sources = (directory) =>
    readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
        const path = join(directory, entry.name);
        return entry.isDirectory() ? sources(path) : entry.name.endsWith(".rs") ? [readFileSync(path, "utf8")] : [];
    });
const code = ["src", "tests", "benches"].flatMap(sources).concat(readFileSync("build.rs", "utf8")).join("\n");
for (const { name, rename } of own.dependencies) {
    const used = new RegExp(`\\b${(rename ?? name).replaceAll("-", "_")}\\b(::|\\s*[;{,])`).test(code);
    if (!used && !(name in NAMED_ONLY)) findings.push(`${name} is named in Cargo.toml and used nowhere`);
    if (used && name in NAMED_ONLY && name === "aes") findings.push(`${name} is called now: take it out of NAMED_ONLY`);
}

for (const finding of findings) console.error(`dependencies: ${finding}`);
console.log(`dependencies: ${metadata.packages.length - 1} crates looked at, ${findings.length} findings`);
process.exit(findings.length ? 1 : 0);
