// One running Granary: its own home, its own port, stopped with all it started.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { chmodSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../..", import.meta.url));
const program = process.env.E2E_PROGRAM ?? join(root, "target/debug/granary");
const site = process.env.E2E_SITE ?? join(root, "site-test");
const homes = process.env.E2E_HOMES ?? tmpdir();
/** What it says is kept here, for whoever looks into a failure. */
const logs = join(root, "end2end/test-results");

/** A port nobody listens on at this moment. */
export const freePort = () =>
    new Promise<number>((done, failed) => {
        const server = createServer();
        server.on("error", failed);
        server.listen(0, "127.0.0.1", () => {
            const { port } = server.address() as { port: number };
            server.close(() => done(port));
        });
    });

export class Granary {
    private constructor(
        readonly url: string,
        private readonly home: string,
        private readonly env: Record<string, string>,
        private readonly log: string,
        private readonly server: ChildProcess,
    ) {}

    /** Starts one and waits until it is ready. `settings` are further variables. */
    static async start(settings: Record<string, string> = {}, port?: number): Promise<Granary> {
        if (!existsSync(program)) throw new Error(`${program} is missing: run make debug`);
        port ??= await freePort();
        const url = `http://127.0.0.1:${port}`;
        const home = mkdtempSync(join(homes, "home-"));
        // As root, system users pass through it.
        chmodSync(home, 0o711);
        const env = {
            ...inherited(),
            GRANARY_HOME: home,
            GRANARY_LISTEN: `127.0.0.1:${port}`,
            GRANARY_PUBLIC_URL: url,
            GRANARY_SITE: site,
            // Preparing datastores that no journey takes would only hold the journeys up.
            GRANARY_SPARES: "0",
            ...settings,
        };
        const log = join(logs, `granary-${port}.log`);
        const granary = new Granary(url, home, env, log, serve(log, env));
        try {
            await granary.ready();
        } catch (error) {
            await granary.stop();
            throw error;
        }
        return granary;
    }

    /** Takes its metadata database away, and keeps it from coming back; what is returned lets it come back. */
    loseMetadata() {
        const metadata = join(this.home, "metadata");
        // Whoever would start it waits for this lock.
        const lock = spawn("flock", ["--no-fork", join(metadata, "lock"), "sleep", "600"], { stdio: "ignore" });
        const pid = Number(readFileSync(join(metadata, "data/postmaster.pid"), "utf8").split("\n")[0]);
        process.kill(pid, "SIGQUIT");
        return () => lock.kill("SIGKILL");
    }

    /** Stops it with all it started, and removes its home. */
    async stop() {
        await this.end();
        await promisify(execFile)(program, ["down"], { env: this.env });
        rmSync(this.home, { recursive: true, force: true });
    }

    private async end() {
        if (this.server.exitCode !== null || this.server.signalCode !== null) return;
        const ended = new Promise((done) => this.server.once("exit", done));
        this.server.kill("SIGTERM");
        const patience = setTimeout(() => this.server.kill("SIGKILL"), 20_000);
        await ended;
        clearTimeout(patience);
    }

    private async ready() {
        const deadline = Date.now() + 60_000;
        while (Date.now() < deadline) {
            if (this.server.exitCode !== null) throw new Error(`granary serve ended at once:\n${this.said()}`);
            const answer = await fetch(`${this.url}/readyz`).catch(() => null);
            if (answer?.ok) return;
            await sleep(100);
        }
        throw new Error(`granary serve was not ready within a minute:\n${this.said()}`);
    }

    /** The last of what it said. */
    private said() {
        return readFileSync(this.log, "utf8").slice(-4000);
    }
}

/** This environment without settings of a Granary or a database: they would be taken for the tested one's. */
const inherited = () =>
    Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(GRANARY_|PG|DATABASE_URL$)/.test(name))) as Record<string, string>;

const serve = (log: string, env: Record<string, string>) => {
    mkdirSync(logs, { recursive: true });
    const file = openSync(log, "w");
    const server = spawn(program, ["serve"], { env, stdio: ["ignore", file, file] });
    closeSync(file);
    return server;
};
