// A failover drill from its button to its result. With SHOTS=1 pictures of what it shows are kept in end2end/shots/.

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Page } from "@playwright/test";
import { create, expect, heading, openTab, status, test, uniqueName, visit } from "../support/test.ts";
import { drilledPages, ready } from "../support/pages.ts";
import { judge } from "../support/judge.ts";

const section = (page: Page) => page.getByRole("region", { name: /^Failover drill/ });

const shoot = async (page: Page, name: string) => {
    if (!process.env.SHOTS) return;
    const folder = fileURLToPath(new URL("../shots", import.meta.url));
    mkdirSync(folder, { recursive: true });
    for (const width of [360, 1440]) {
        await page.setViewportSize({ width, height: 900 });
        for (const colorScheme of ["light", "dark"] as const) {
            await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
            await section(page).screenshot({ path: `${folder}/${name.replace(/\W+/g, "-")}-${width}-${colorScheme}.png` });
        }
    }
};

/** Presses the button behind what it does, and waits until the page itself shows what came of it. */
const drill = async (page: Page, menu: string, button: string, kind: string) => {
    await section(page).getByText(menu, { exact: true }).click();
    await section(page).getByRole("button", { name: button }).click();
    await expect(page.getByText("Failover drill asked for.")).toBeVisible();
    await expect(section(page).getByRole("status")).toContainText(`${kind}, asked for by`);
    await expect(section(page).getByRole("button", { name: button }), "one at a time").toHaveCount(0);
    await shoot(page, `drill running ${kind}`);
    await expect(section(page).getByRole("heading", { name: /Newest result/ })).toContainText(kind, { timeout: 150_000 });
    await expect(section(page)).toContainText(/No write was acknowledged for [\d.]+ (ms|s)\./);
};

test("a drill says what a failover costs, and the history keeps it", async ({ home }) => {
    test.setTimeout(600_000);
    const datastore = await create(home, uniqueName(), { topology: "one primary, one replica" });
    await openTab(home, datastore, /^Nodes/);
    await drill(home, "Planned promotion…", "Promote now", "Planned promotion");
    await expect(section(home)).toContainText(/None of the \d+ acknowledged rows was lost\./);
    await expect(section(home)).toContainText(/connect again (once|\d+ times)/);
    await expect(home.getByRole("region", { name: `${datastore.name}-2`, exact: true })).toContainText("Primary, read-write");
    const rows = section(home).getByRole("table", { name: "Failover drills" }).getByRole("row");
    await expect(rows).toHaveCount(2);
    await expect(rows.nth(1)).toContainText(`${datastore.name}-1 → ${datastore.name}-2`);

    // As soon as all is tidied up, the next one may begin.
    await expect(status(home)).toContainText("Running");
    await expect(async () => {
        await visit(home, `/datastores/${datastore.id}/nodes`);
        await expect(section(home).getByText("Kill the primary…")).toBeVisible({ timeout: 1000 });
    }).toPass({ timeout: 60_000 });
    await drill(home, "Kill the primary…", "Kill it now", "Kill of the primary");
    await expect(rows).toHaveCount(3);
    await expect(rows.nth(1)).toContainText("Kill of the primary");
    await expect(rows.nth(1)).toContainText("Done");

    for (const [name, open] of drilledPages(home, datastore)) {
        await open();
        await ready(home);
        await shoot(home, name);
        expect((await judge(home, name)).join("\n")).toBe("");
    }
    await expect(heading(home, "Failover drill: Planned promotion", 2)).toBeVisible();
    await expect(section(home)).toContainText("Rows acknowledged");
    await home.getByRole("link", { name: "All failover drills" }).click();
    await expect(home).toHaveURL(/\/nodes#drill$/);
});
