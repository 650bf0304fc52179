import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, expect, heading, openTab, password, snippet, test, uniqueName, untilRunning, visit } from "../support/test.ts";
import { folder, run } from "../support/shell.ts";

test("r004-r005, r028, r036, r044 every line to connect to MariaDB runs as it stands, and the datastore is restarted and deleted", async ({ home }) => {
    const datastore = await create(home, uniqueName("shop"), { allow: true, engine: "MariaDB" });
    await openTab(home, datastore, /^Users/);
    expect(await snippet(home, "URL")).toContain("YOUR-PASSWORD");
    const secret = await password(home);
    const cwd = folder();

    // mariadb asks for the password on the terminal; where there is none it takes it from MYSQL_PWD, without the -p.
    const lines = await snippet(home, "mariadb");
    expect(lines.split("\n")).toHaveLength(2);
    expect(lines).not.toContain(secret);
    const typed = "CREATE TABLE t (n INT); INSERT INTO t VALUES (42); SELECT n FROM t;\n";
    const unasked = (text: string) => text.replace(" -p ", " --batch ");
    const asked = await run(unasked(lines), { MYSQL_PWD: secret }, typed, cwd);
    expect(asked, asked.err).toMatchObject({ code: 0, out: "n\n42\n" });
    const wrong = await run(unasked(lines), { MYSQL_PWD: `${secret}x` }, typed, cwd);
    expect(wrong.err).toContain("Access denied");
    const stranger = folder();
    const file = /--ssl-ca=(\S+)/.exec(lines)?.[1] ?? "";
    copyFileSync("/etc/ssl/certs/ca-certificates.crt", join(stranger, file));
    const refused = await run(unasked(lines.split("\n")[1] ?? ""), { MYSQL_PWD: secret }, typed, stranger);
    expect(refused.err).toMatch(/certificate/);

    const url = await snippet(home, "URL");
    expect(url).toContain(`:${secret}@`);
    expect(url).toContain("ssl-mode=VERIFY_IDENTITY");

    writeFileSync(join(cwd, ".env"), await snippet(home, ".env"));
    const cli = 'mariadb --batch --skip-column-names --ssl-verify-server-cert --ssl-ca="$MYSQL_CA_FILE" -u "$MYSQL_USER" "$MYSQL_DATABASE" -e "SELECT n FROM t"';
    const byEnv = await run(`set -a; source .env; ${cli}`, {}, "", cwd);
    expect(byEnv, byEnv.err).toMatchObject({ code: 0, out: "42\n" });

    writeFileSync(join(cwd, "snippet.py"), await snippet(home, "Python"));
    const ran = await run("/usr/bin/python3 snippet.py", { MYSQL_PWD: secret }, "", cwd);
    expect(ran, ran.err).toMatchObject({ code: 0 });
    expect(ran.out).toMatch(/^\d+\.\d+\.\d+-MariaDB/);

    await openTab(home, datastore, /^Logs/);
    const log = home.getByRole("region", { name: "Logs", exact: true }).getByRole("listitem");
    await expect(log.filter({ hasText: "ready for connections" }).first()).toBeVisible();

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
