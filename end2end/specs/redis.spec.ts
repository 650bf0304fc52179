import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { choose, create, expect, heading, openTab, password, proceed, settled, snippet, startWizard, test, uniqueName, untilRunning, visit, walkToPreview } from "../support/test.ts";
import { folder, run } from "../support/shell.ts";

test("r004-r005, r042 the wizard offers Redis, its version follows the card, and its database has a number", async ({ home }) => {
    await startWizard(home);
    await choose(home, "Redis");
    await proceed(home);
    await expect(heading(home, "Configuration", 2)).toBeVisible();
    await home.goto(home.url().replace("configuration", "databases"));
    await expect(home.getByLabel("Version")).toHaveValue("7.0");
    await expect(home.getByLabel("Version").locator("option:checked")).toContainText("support ended");
    const name = uniqueName("cache");
    await walkToPreview(home, name);
    const review = home.locator(".review-lines");
    await expect(review.getByText("First database").locator("xpath=following-sibling::dd[1]")).toHaveText("0");

    // What was proposed for another engine is still there for it.
    await home.goto(home.url().replace("preview", "resources"));
    await expect(home.getByText("Databases have numbers instead of names")).toBeVisible();
    await expect(home.getByRole("textbox", { name: "Database name" })).toHaveCount(0);
    await proceed(home);
    await home.goto(home.url().replace("preview", "databases"));
    await choose(home, "PostgreSQL");
    await proceed(home);
    await home.goto(home.url().replace("configuration", "resources"));
    await expect(home.getByRole("textbox", { name: "Database name" })).toHaveValue("app");
});

test("r028, r036, r044 every line to connect runs as it stands, and the datastore is restarted and deleted", async ({ home }) => {
    const datastore = await create(home, uniqueName("cache"), { allow: true, engine: "Redis" });
    await openTab(home, datastore, /^Users/);
    expect(await snippet(home, "URL")).toContain("YOUR-PASSWORD");
    const secret = await password(home);
    const cwd = folder();

    // redis-cli asks for the password before anything else.
    const lines = await snippet(home, "redis-cli");
    expect(lines.split("\n")).toHaveLength(2);
    expect(lines).not.toContain(secret);
    const asked = await run(lines, {}, `${secret}\nSET answer 42\nGET answer\n`, cwd);
    expect(asked, asked.err).toMatchObject({ code: 0 });
    expect(asked.out).toMatch(/OK\n42/);
    const wrong = await run(lines, {}, `${secret}x\nPING\n`);
    expect(wrong.out + wrong.err).toContain("WRONGPASS");
    const stranger = folder();
    const file = /--cacert (\S+)/.exec(lines)?.[1] ?? "";
    copyFileSync("/etc/ssl/certs/ca-certificates.crt", join(stranger, file));
    const refused = await run(lines.split("\n")[1] ?? "", {}, `${secret}\nPING\n`, stranger);
    expect(refused.out + refused.err).toContain("certificate verify failed");

    const url = await snippet(home, "URL");
    writeFileSync(join(cwd, "url.py"), `import redis\nprint(redis.from_url("${url}").get("answer"))\n`);
    const byUrl = await run("/usr/bin/python3 url.py", {}, "", cwd);
    expect(byUrl, byUrl.err).toMatchObject({ code: 0, out: "b'42'\n" });
    const cut = await run(`redis-cli -u '${url.split("?")[0]}' --cacert ${file} GET answer`, {}, "", cwd);
    expect(cut, cut.err).toMatchObject({ code: 0, out: "42\n" });

    writeFileSync(join(cwd, ".env"), await snippet(home, ".env"));
    const cli = 'redis-cli --tls --cacert "$REDIS_CA_FILE" -h "$REDIS_HOST" -p "$REDIS_PORT" -n "$REDIS_DB" --user "$REDIS_USERNAME" GET answer';
    const program = "import os, redis; print(redis.from_url(os.environ['REDIS_URL']).get('answer'))";
    const byEnv = await run(`set -a; source .env; ${cli}; /usr/bin/python3 -c "${program}"`, {}, "", cwd);
    expect(byEnv, byEnv.err).toMatchObject({ code: 0, out: "42\nb'42'\n" });

    writeFileSync(join(cwd, "snippet.py"), await snippet(home, "Python"));
    const ran = await run("/usr/bin/python3 snippet.py", { REDIS_PASSWORD: secret }, "", cwd);
    expect(ran, ran.err).toMatchObject({ code: 0 });
    expect(ran.out).toMatch(/^7\.0\.\d+\n$/);

    await visit(home, `/datastores/${datastore.id}`);
    const endpoints = home.getByRole("region", { name: "Endpoints" });
    for (const view of ["CLI", "URL", "env"]) await expect(endpoints.getByRole("radio", { name: view, exact: true })).toBeVisible();

    await openTab(home, datastore, /^Logs/);
    const log = home.getByRole("region", { name: "Logs", exact: true }).getByRole("listitem");
    await expect(log.filter({ hasText: "Ready to accept connections" }).first()).toBeVisible();

    await visit(home, `/datastores/${datastore.id}`);
    await home.getByText("Restart…", { exact: true }).first().click();
    await home.getByRole("button", { name: "Restart now" }).click();
    await untilRunning(home);
    await expect(async () => expect((await run(`set -a; source .env; ${cli}`, {}, "", cwd)).out).toBe("42\n")).toPass({ timeout: 30_000 });

    await visit(home, `/datastores/${datastore.id}/delete`);
    await home.getByLabel(/To confirm/).fill(datastore.name);
    await home.getByRole("button", { name: "Delete datastore" }).click();
    await expect(home).toHaveURL(/\/datastores$/);
    await expect(async () => {
        await home.reload();
        await expect(heading(home, "No datastores yet", 2)).toBeVisible({ timeout: 500 });
    }).toPass({ timeout: 60_000 });
});

test("r008 Redis with two replicas is written to and read from over verified TLS, drilled, given a new node, and deleted", async ({ home }) => {
    test.setTimeout(600_000);
    await startWizard(home);
    await choose(home, "Redis");
    await proceed(home);
    await expect(home.getByText("a failover may lose the last moments all the same")).toBeVisible();
    await expect(home.getByText("Writes need a replica in step")).toBeVisible();
    await expect(home.getByText("No acknowledged write is lost"), "Redis cannot promise that").toHaveCount(0);
    await visit(home, "/datastores");

    const datastore = await create(home, uniqueName("cache"), { allow: true, engine: "Redis", topology: "one primary, two replicas" });
    await expect(home.getByText("nothing is evicted (noeviction)")).toBeVisible();
    await openTab(home, datastore, /^Users/);
    const [secret, cwd] = [await password(home), folder()];
    const primary = await snippet(home, "redis-cli");
    await home.getByRole("navigation", { name: "Endpoint" }).getByRole("link", { name: "Replicas, read-only" }).click();
    const replica = await snippet(home, "redis-cli");
    expect(replica).not.toBe(primary);
    const say = (lines: string, commands: string) => run(lines, {}, `${secret}\n${commands}\n`, cwd);
    await expect(async () => expect((await say(primary, "SET answer 42")).out).toMatch(/OK/), "writes need a replica in step").toPass();
    await expect(async () => expect((await say(replica, "GET answer")).out).toMatch(/42/)).toPass();
    expect((await say(replica, "SET answer 43")).out).toContain("READONLY");

    await openTab(home, datastore, /^Nodes/);
    await expect(home.getByRole("region", { name: "Topology" })).toContainText("writes need a replica in step");
    const drill = home.getByRole("region", { name: /^Failover drill/ });
    await drill.getByText("Kill the primary…", { exact: true }).click();
    await drill.getByRole("button", { name: "Kill it now" }).click();
    await expect(drill.getByRole("heading", { name: /Newest result/ })).toContainText("Kill of the primary", { timeout: 150_000 });
    await expect(drill).toContainText(/No write was acknowledged for [\d.]+ (ms|s)\./);
    await expect(drill.getByRole("table", { name: "Failover drills" }).getByRole("row").nth(1)).toContainText("Done");
    await settled(home, datastore);

    await openTab(home, datastore, /^Nodes/);
    const old = home.getByRole("region", { name: new RegExp(`^${datastore.name}-\\d$`) }).filter({ hasText: "Replica, read-only" }).first();
    const name = (await old.getByRole("heading").first().textContent()) ?? "";
    await old.getByText("Replace…", { exact: true }).click();
    await old.getByRole("button", { name: "Replace now" }).click();
    await expect(home.getByText("Replacement asked for.")).toBeVisible();
    await settled(home, datastore);
    await openTab(home, datastore, /^Nodes/);
    await expect(home.getByRole("region", { name: `${datastore.name}-4`, exact: true })).toContainText("Replica, read-only");
    expect(name).not.toBe("");
    await expect(home.getByRole("region", { name, exact: true })).toHaveCount(0);
    await expect(async () => expect((await say(replica, "GET answer")).out).toMatch(/42/)).toPass();
    expect((await say(primary, "SET answer 43")).out).toMatch(/OK/);

    await visit(home, `/datastores/${datastore.id}/delete`);
    await home.getByLabel(/To confirm/).fill(datastore.name);
    await home.getByRole("button", { name: "Delete datastore" }).click();
    await expect(home).toHaveURL(/\/datastores$/);
    await expect(async () => {
        await home.reload();
        await expect(heading(home, "No datastores yet", 2)).toBeVisible({ timeout: 500 });
    }).toPass({ timeout: 60_000 });
});
