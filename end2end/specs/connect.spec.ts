import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, openTab, password, snippet, test } from "../support/test.ts";
import { folder, run } from "../support/shell.ts";

test.beforeEach(async ({ home, datastore }) => openTab(home, datastore, /^Users/));

test("r028, r036 the two psql lines connect as they stand, and verify the server", async ({ home }) => {
    const lines = await snippet(home, "psql");
    expect(lines.split("\n")).toHaveLength(2);
    expect(lines).toContain("sslmode=verify-full");
    const PGPASSWORD = await password(home);
    const query = "select 'answer ' || 40 + 2;\nselect ssl from pg_stat_ssl where pid = pg_backend_pid();\n".replace("40 + 2", "(40 + 2)");
    const cwd = folder();
    const asked = await run(lines, { PGPASSWORD }, query, cwd);
    expect(asked, asked.err).toMatchObject({ code: 0 });
    expect(asked.out).toContain("answer 42");
    expect(asked.out).toMatch(/ssl\s+-+\s+t\s/);

    const wrong = await run(lines, { PGPASSWORD: `${PGPASSWORD}x` }, query);
    expect(wrong.code).not.toBe(0);
    expect(wrong.err).toContain("password authentication failed");

    // With any other authority the second line refuses the server.
    const file = /sslrootcert=([^"&\s]+)/.exec(lines)?.[1] ?? "";
    copyFileSync("/etc/ssl/certs/ca-certificates.crt", join(cwd, file));
    const stranger = await run(lines.split("\n")[1] ?? "", { PGPASSWORD }, query, cwd);
    expect(stranger.code).not.toBe(0);
    expect(stranger.err).toContain("certificate verify failed");
});

test("r042-r043 the password is hidden until it is asked for, then stands in the snippets", async ({ home }) => {
    expect(await snippet(home, "URL")).toContain("YOUR-PASSWORD");
    await expect(home.locator("#password")).toHaveCount(0);
    const secret = await password(home);
    expect(secret.length).toBeGreaterThanOrEqual(16);
    expect(await snippet(home, "URL")).toContain(`:${secret}@`);
    expect(await snippet(home, "psql")).not.toContain(secret);
    await home.reload();
    await expect(home.locator("#password")).toHaveText(secret);
});

test("r044 the URL and the .env file connect as they stand", async ({ home }) => {
    const fetch = (await snippet(home, "psql")).split("\n")[0] ?? "";
    await password(home);
    const [url, env] = [await snippet(home, "URL"), await snippet(home, ".env")];
    const cwd = folder();
    expect(await run(fetch, {}, "", cwd)).toMatchObject({ code: 0 });
    const byUrl = await run(`psql -Atc 'select 1 + 1' '${url}'`, {}, "", cwd);
    expect(byUrl, byUrl.err).toMatchObject({ code: 0, out: "2\n" });
    writeFileSync(join(cwd, ".env"), env);
    const byEnv = await run("set -a; source .env; psql -Atc 'select 1 + 2'; psql -Atc 'select 1 + 3' \"$DATABASE_URL\"", {}, "", cwd);
    expect(byEnv, byEnv.err).toMatchObject({ code: 0, out: "3\n4\n" });
});

test("r028 the Python program connects as it stands", async ({ home }) => {
    const program = await snippet(home, "Python");
    const cwd = folder();
    writeFileSync(join(cwd, "snippet.py"), program);
    // Debian's Python, which has psycopg; another may come before it in PATH.
    const ran = await run("/usr/bin/python3 snippet.py", { PGPASSWORD: await password(home) }, "", cwd);
    expect(ran, ran.err).toMatchObject({ code: 0 });
    expect(ran.out).toContain("PostgreSQL 15");
});

test("r036 the authority can be downloaded, and is the one whose fingerprint is shown", async ({ home }) => {
    const card = home.getByRole("region", { name: "Certificate authority" });
    const [download] = await Promise.all([home.waitForEvent("download"), card.getByRole("link", { name: /Download/ }).click()]);
    const cwd = folder();
    await download.saveAs(join(cwd, "ca.pem"));
    const { out } = await run("openssl x509 -in ca.pem -noout -fingerprint -sha256", {}, "", cwd);
    const hex = (text: string) => text.replace(/^.*=/s, "").replace(/[^0-9a-f]/gi, "").toLowerCase();
    expect(hex((await card.locator("#fingerprint").textContent()) ?? "")).toBe(hex(out));
});

test("a button copies what it stands beside", async ({ home, context }) => {
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const lines = await snippet(home, "psql");
    await home.getByRole("region", { name: "Connection assistant" }).getByRole("button", { name: "Copy psql" }).click();
    await expect(home.getByText("Copied")).toBeVisible();
    expect(await home.evaluate(() => navigator.clipboard.readText())).toBe(lines);
});
