import type { Page } from "@playwright/test";
import { create, expect, openTab, password, settled, snippet, status, test, uniqueName } from "../support/test.ts";
import { run } from "../support/shell.ts";

/** What is done with a node: its menu, and the button that means it. */
const act = async (page: Page, node: ReturnType<Page["getByRole"]>, word: string) => {
    await node.getByText(`${word}…`, { exact: true }).click();
    await node.getByRole("button", { name: `${word} now` }).click();
};

test("nodes are replaced, added and removed while clients read and write", async ({ home }) => {
    test.setTimeout(300_000);
    const datastore = await create(home, uniqueName(), { allow: true, topology: "one primary, one replica" });
    await openTab(home, datastore, /^Users/);
    const [psql, env] = [await snippet(home, "psql"), { PGPASSWORD: await password(home) }];
    expect(await run(psql, env, "create table t (n int); insert into t values (1);\n")).toMatchObject({ code: 0 });
    const hosts = await snippet(home, "All hosts, libpq");
    expect((await run(hosts, env, "select pg_is_in_recovery();\n")).out, "libpq finds the primary among all hosts").toContain("f");

    const node = (n: number) => home.getByRole("region", { name: `${datastore.name}-${n}`, exact: true });
    await openTab(home, datastore, /^Nodes/);
    await act(home, node(2), "Replace");
    await expect(home.getByText("Replacement asked for.")).toBeVisible();
    await settled(home, datastore);
    await openTab(home, datastore, /^Nodes/);
    await expect(node(3)).toContainText("Replica, read-only");
    await expect(node(2)).toHaveCount(0);
    expect(await run(psql, env, "insert into t values (2);\n")).toMatchObject({ code: 0 });

    await home.getByRole("button", { name: "Add a replica", exact: true }).click();
    await expect(home.getByText("Replica asked for")).toBeVisible();
    await settled(home, datastore);
    await openTab(home, datastore, /^Nodes/);
    await expect(node(2)).toContainText("Replica, read-only");
    await expect(home.getByRole("region", { name: "Topology" })).toContainText("one primary, two replicas");

    await openTab(home, datastore, /^Settings/);
    await home.getByRole("button", { name: /^Change to: no acknowledged write/ }).click();
    await expect(home.getByText("Change asked for.")).toBeVisible();
    await settled(home, datastore);
    await openTab(home, datastore, /^Settings/);
    await expect(home.getByRole("region", { name: "Writes: no acknowledged write is lost" })).toBeVisible();
    await home.getByLabel("Most MB of log behind").fill("0");
    await home.getByRole("region", { name: "Replica endpoint" }).getByRole("button", { name: "Save" }).click();
    await expect(home.getByText("A whole number of MB from 1 to 1048576, please.").first()).toBeVisible();
    await home.getByLabel("Most MB of log behind").fill("16");
    await home.getByLabel("When no replica is left").selectOption("Lead readers to the primary");
    await home.getByRole("region", { name: "Replica endpoint" }).getByRole("button", { name: "Save" }).click();
    await expect(home.getByText("Saved.")).toBeVisible();

    await openTab(home, datastore, /^Nodes/);
    await act(home, node(3), "Remove");
    await expect(home.getByText("Removal asked for.")).toBeVisible();
    await settled(home, datastore);
    await openTab(home, datastore, /^Nodes/);
    await expect(node(3)).toHaveCount(0);
    await act(home, node(2), "Remove");
    await expect(home.getByRole("alert")).toContainText("the last replica that writes wait for");
    expect((await run(psql, env, "insert into t values (3); select count(*) from t;\n")).out).toContain("3");
});

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
