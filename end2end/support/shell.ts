// Running what the pages tell people to run.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { test } from "@playwright/test";

export type Outcome = { code: number | null; out: string; err: string };

/** A fresh folder, as somebody would paste in. */
export const folder = () => {
    const { outputDir } = test.info();
    mkdirSync(outputDir, { recursive: true });
    return mkdtempSync(join(outputDir, "paste-"));
};

/** Starts a script, letter for letter, in bash. */
export const start = (script: string, env: Record<string, string> = {}, cwd = folder()): [ChildProcess, Promise<Outcome>] => {
    const child = spawn("bash", ["-c", script], { cwd, env: { PATH: process.env.PATH ?? "", HOME: cwd, LC_ALL: "C.UTF-8", ...env } });
    const outcome = new Promise<Outcome>((done) => {
        let [out, err] = ["", ""];
        child.stdout.on("data", (text) => (out += text));
        child.stderr.on("data", (text) => (err += text));
        child.on("close", (code) => done({ code, out, err }));
    });
    return [child, outcome];
};

/** Runs a script to its end; what is in `input` is typed into it. */
export const run = (script: string, env: Record<string, string> = {}, input = "", cwd = folder()): Promise<Outcome> => {
    const [child, outcome] = start(script, env, cwd);
    child.stdin?.end(input);
    return outcome;
};
