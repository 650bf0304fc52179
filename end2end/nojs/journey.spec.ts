// The whole way with JavaScript off: every page and every form works without it.

import { run } from "../support/shell.ts";
import { choose, expect, fieldError, finish, heading, openTab, password, proceed, snippet, startWizard, test, textbox, uniqueName, untilRunning, walkToPreview } from "../support/test.ts";

test("r001-r028 from sign-in to a connection and a deletion", async ({ home }) => {
    await startWizard(home);
    const name = uniqueName();
    await walkToPreview(home, name);
    await finish(home);
    await expect(heading(home, name)).toBeVisible();
    const datastore = { id: new URL(home.url()).pathname.split("/")[2] ?? "", name };
    // The page loads itself again while there is work.
    await untilRunning(home);

    await openTab(home, datastore, /^Firewall/);
    await home.getByRole("button", { name: "Add my address" }).click();
    await expect(home.getByRole("region", { name: "Access" })).toContainText("is allowed");

    await openTab(home, datastore, /^Users/);
    const env = { PGPASSWORD: await password(home) };
    const lines = await snippet(home, "psql");
    await expect(async () => expect(await run(lines, env, "select 1;\n")).toMatchObject({ code: 0 })).toPass({ timeout: 20_000 });

    await openTab(home, datastore, /^Settings/);
    const renamed = uniqueName("renamed");
    await textbox(home, "Name").fill(renamed);
    await home.getByRole("button", { name: "Save name" }).click();
    await expect(heading(home, renamed)).toBeVisible();

    await home.goto("/datastores");
    await home.getByLabel(`Actions for ${renamed}`).click();
    await home.getByRole("link", { name: "Delete…" }).click();
    await home.getByLabel(/To confirm/).fill(renamed);
    await home.getByRole("button", { name: "Delete datastore" }).click();
    await expect(home).toHaveURL(/\/datastores$/);
    await expect(async () => {
        await home.reload();
        await expect(heading(home, "No datastores yet", 2)).toBeVisible({ timeout: 500 });
    }).toPass({ timeout: 60_000 });
});

test("r006, r080 what is wrong is said beside the field, and nothing typed is lost", async ({ home }) => {
    await startWizard(home);
    await proceed(home);
    await textbox(home, "Name").fill("o'brien;--🐘");
    await textbox(home, "Tags").fill("kept");
    await proceed(home);
    await expect(fieldError(home, "name")).toContainText("“'”");
    await expect(textbox(home, "Name")).toHaveValue("o'brien;--🐘");
    await expect(textbox(home, "Tags")).toHaveValue("kept");
    await textbox(home, "Name").fill(uniqueName());
    await proceed(home);
    await proceed(home);
    await choose(home, "Volumes");
    await choose(home, "Dynamic");
    await textbox(home, "Volume size (GB)").fill("1.5");
    await proceed(home);
    await expect(fieldError(home, "volume_gb")).toContainText("whole number");
    await expect(textbox(home, "Volume size (GB)")).toHaveValue("1.5");
});

test("r026 a wrong address range comes back with what it should be", async ({ datastore, home }) => {
    await openTab(home, datastore, /^Firewall/);
    await textbox(home, "Address range (CIDR)").fill("10.1.2.3/8");
    await textbox(home, "Description").fill("office");
    await home.getByRole("button", { name: "+ Create trusted source" }).click();
    await expect(fieldError(home, "cidr")).toContainText("10.0.0.0/8");
    await expect(textbox(home, "Address range (CIDR)")).toHaveValue("10.1.2.3/8");
    await expect(textbox(home, "Description")).toHaveValue("office");
});
