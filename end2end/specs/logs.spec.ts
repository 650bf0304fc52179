import { expect, openTab, password, snippet, test } from "../support/test.ts";
import { run } from "../support/shell.ts";

test("logs show what the server wrote, by level and words, and it is a link", async ({ home, datastore }) => {
    await openTab(home, datastore, /^Users/);
    const lines = await snippet(home, "psql");
    const env = { PGPASSWORD: await password(home) };
    await run(lines, env, "select no_such_column;\n");
    await openTab(home, datastore, /^Logs/);
    const log = home.getByRole("region", { name: "Logs", exact: true }).getByRole("listitem");
    await expect(log.filter({ hasText: "ready to accept connections" }).first()).toBeVisible();
    await home.getByLabel("Level", { exact: true }).selectOption("error");
    await expect(log.first()).toContainText("no_such_column");
    await expect(log.first()).toContainText("STATEMENT: select no_such_column");
    await expect(log.filter({ hasText: "ready to accept connections" })).toHaveCount(0);
    await home.getByLabel("Search the lines").fill("nothing says this");
    await home.getByLabel("Search the lines").press("Enter");
    await expect(home.getByText("Nothing matches")).toBeVisible();
    await home.goto(home.url().replace(/q=[^&]*/, "q=NO_SUCH_COLUMN"));
    await expect(log).toHaveCount(1);
});
