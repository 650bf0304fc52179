import { create, expect, fieldError, heading, openTab, password, snippet, test, textbox, uniqueName } from "../support/test.ts";
import { run } from "../support/shell.ts";

test("r006 a new name is shown everywhere, and connections stay", async ({ home, datastore }) => {
    await openTab(home, datastore, /^Users/);
    const lines = await snippet(home, "psql");
    const env = { PGPASSWORD: await password(home) };
    await openTab(home, datastore, /^Settings/);
    const name = uniqueName("renamed");
    await textbox(home, "Name").fill(name);
    await home.getByRole("button", { name: "Save name" }).click();
    await expect(home.getByText("Name saved.")).toBeVisible();
    await expect(heading(home, name)).toBeVisible();
    await home.goto("/datastores");
    await expect(home.getByRole("row").filter({ hasText: name })).toHaveCount(1);
    expect(await run(lines, env, "select 1;\n")).toMatchObject({ code: 0 });
});

test("r006 a name that is wrong or taken is refused, with the reason", async ({ home, datastore }) => {
    const other = await create(home, uniqueName());
    await openTab(home, datastore, /^Settings/);
    for (const [typed, says] of [
        [other.name, "already"],
        ["", "Give the"],
        ["o'brien", "“'”"],
        ["a".repeat(65), "65"],
    ] as const) {
        await textbox(home, "Name").fill(typed);
        await home.getByRole("button", { name: "Save name" }).click();
        await expect(fieldError(home, "name")).toContainText(says);
        await expect(textbox(home, "Name")).toHaveValue(typed);
        await expect(heading(home, datastore.name)).toBeVisible();
    }
});

test("r006 tags are saved and filter the list", async ({ home, datastore }) => {
    await openTab(home, datastore, /^Settings/);
    await textbox(home, "Tags").fill("production, team:payments");
    await home.getByRole("button", { name: "Save tags" }).click();
    await expect(home.getByText("Tags saved.")).toBeVisible();
    await home.goto("/datastores?tag=team%3Apayments");
    await expect(home.getByRole("row").filter({ hasText: datastore.name })).toHaveCount(1);
    await home.goto("/datastores?tag=nobody");
    await expect(heading(home, "Nothing matches", 2)).toBeVisible();
});

test("r022 termination protection refuses the deletion, on the page and behind it", async ({ home, datastore }) => {
    await openTab(home, datastore, /^Settings/);
    const protection = home.getByRole("region", { name: "Termination protection" });
    await protection.getByRole("button", { name: "Switch protection on" }).click();
    await expect(home.getByText("Termination protection saved.")).toBeVisible();
    await home.goto(`/datastores/${datastore.id}/delete`);
    await expect(home.getByText("Termination protection is on")).toBeVisible();
    await expect(home.getByRole("button", { name: "Delete datastore" })).toHaveCount(0);
    const post = await home.request.post("/api/datastore/delete", {
        form: { id: datastore.id, confirm: datastore.name },
        headers: { "sec-fetch-site": "same-origin", accept: "text/html" },
    });
    expect(post.status()).toBeLessThan(500);
    await openTab(home, datastore, /^Settings/);
    await expect(home.locator(".live-status")).toContainText("Running");
    await protection.getByRole("button", { name: "Switch protection off" }).click();
    await home.goto(`/datastores/${datastore.id}/delete`);
    await expect(home.getByRole("button", { name: "Delete datastore" })).toBeVisible();
});

test("r021 a post from another site changes nothing", async ({ home, datastore }) => {
    for (const headers of [{ "sec-fetch-site": "cross-site" }, { origin: "https://example.org" }, { "sec-fetch-site": "same-site", origin: "https://example.org" }]) {
        const answer = await home.request.post("/api/datastore/delete", { form: { id: datastore.id, confirm: datastore.name }, headers, maxRedirects: 0 });
        expect(answer.status()).toBe(403);
    }
    await home.goto(`/datastores/${datastore.id}`);
    await expect(home.locator(".live-status")).toContainText("Running");
});
