import { expect, fieldError, heading, openTab, password, snippet, test } from "../support/test.ts";
import { run } from "../support/shell.ts";

test("r021-r022 a datastore is deleted from the list, by its typed name, at once and for good", async ({ home, datastore }) => {
    await openTab(home, datastore, /^Users/);
    const lines = await snippet(home, "psql");
    const env = { PGPASSWORD: await password(home), PGCONNECT_TIMEOUT: "10" };
    expect(await run(lines, env, "select 1;\n")).toMatchObject({ code: 0 });

    await home.goto("/datastores");
    await home.getByLabel(`Actions for ${datastore.name}`).click();
    await home.getByRole("link", { name: "Delete…" }).click();
    await expect(heading(home, `Delete ${datastore.name}?`)).toBeVisible();
    await expect(home.getByText("immediate and final")).toBeVisible();
    const goes = home.getByRole("region", { name: "What goes" });
    for (const what of [datastore.name, "Databases", "Users", "Data"]) await expect(goes).toContainText(what);

    const confirm = home.getByLabel(`To confirm, type the name: ${datastore.name}`);
    for (const typed of ["", datastore.name.slice(1), `${datastore.name}x`]) {
        await confirm.fill(typed);
        await home.getByRole("button", { name: "Delete datastore" }).click();
        await expect(fieldError(home, "confirm")).not.toBeEmpty();
        await expect(confirm).toHaveValue(typed);
    }
    await confirm.fill(datastore.name);
    await home.getByRole("button", { name: "Delete datastore" }).click();
    await expect(home).toHaveURL(/\/datastores$/);
    await expect(home.getByText("Deletion asked for.")).toBeVisible();
    await expect(heading(home, "No datastores yet", 2)).toBeVisible({ timeout: 60_000 });

    expect((await home.goto(`/datastores/${datastore.id}`))?.status()).toBe(404);
    expect((await run(lines, env, "select 1;\n")).code).not.toBe(0);
});

test("r022 the page leaves everything as it is when somebody thinks again", async ({ home, datastore }) => {
    await home.goto(`/datastores/${datastore.id}/delete`);
    await home.getByRole("link", { name: "Keep it" }).click();
    await expect(heading(home, datastore.name)).toBeVisible();
    await expect(home.locator(".live-status")).toContainText("Running");
});
