import { create, expect, openTab, password, settled, snippet, status, test, uniqueName } from "../support/test.ts";
import { run } from "../support/shell.ts";

test("r008 a datastore with a replica is made, written to, read from, and led by its replica", async ({ home }) => {
    const datastore = await create(home, uniqueName(), { allow: true, topology: "one primary, one replica" });
    await openTab(home, datastore, /^Users/);
    const primary = await snippet(home, "psql");
    const env = { PGPASSWORD: await password(home) };
    expect(await run(primary, env, "create table t (n int); insert into t values (7);\n")).toMatchObject({ code: 0 });
    await home.getByRole("navigation", { name: "Endpoint" }).getByRole("link", { name: "Replicas, read-only" }).click();
    const replica = await snippet(home, "psql");
    expect(replica).not.toBe(primary);
    await expect(async () => expect((await run(replica, env, "select n, pg_is_in_recovery() from t;\n")).out).toContain("7 | t")).toPass();
    expect((await run(replica, env, "insert into t values (8);\n")).err).toContain("read-only transaction");

    await openTab(home, datastore, /^Nodes/);
    const node = (n: number) => home.getByRole("region", { name: `${datastore.name}-${n}`, exact: true });
    await expect(node(1)).toContainText("Primary, read-write");
    await expect(node(2)).toContainText("Replica, read-only");
    await expect(home.getByRole("region", { name: "Topology" })).toContainText("Replica endpoint");
    await node(2).getByText("Promote…").click();
    await node(2).getByRole("button", { name: "Promote now" }).click();
    await expect(home.getByText("Promotion asked for.")).toBeVisible();
    await expect(node(2)).toContainText("Primary, read-write", { timeout: 60_000 });
    await settled(home, datastore);
    await expect(status(home)).toContainText("Running");
    await openTab(home, datastore, /^Nodes/);
    await expect(node(1)).toContainText("Replica, read-only");
    expect(await run(primary, env, "insert into t values (9);\n"), "the endpoint has stayed").toMatchObject({ code: 0 });
});
