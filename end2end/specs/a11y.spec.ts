import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { expect, heading, test } from "../support/test.ts";
import { pages, ready } from "../support/pages.ts";

/** What axe finds, in both themes. */
const findings = async (page: Page, name: string) => {
    const found: string[] = [];
    for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        const { violations } = await new AxeBuilder({ page }).analyze();
        for (const it of violations) {
            for (const node of it.nodes) found.push(`${name}, ${colorScheme}: ${it.id}: ${node.target.join(" ")}: ${node.failureSummary}`);
        }
    }
    return found;
};

test("axe finds nothing on any page, in either theme", async ({ home, datastore }) => {
    const found: string[] = [];
    for (const [name, open] of pages(home, datastore)) {
        await open();
        await ready(home);
        found.push(...(await findings(home, name)));
    }
    expect(found.join("\n")).toBe("");
});

test("axe finds nothing before sign-in, nor on an empty list", async ({ page, person }) => {
    await page.goto("/sign-in?error=denied");
    const found = await findings(page, "sign-in");
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    found.push(...(await findings(page, "built-in provider")));
    const { answerProvider } = await import("../support/test.ts");
    await answerProvider(page, person);
    await expect(heading(page, "No datastores yet", 2)).toBeVisible();
    found.push(...(await findings(page, "empty list")));
    expect(found.join("\n")).toBe("");
});

test("the keyboard alone is enough", async ({ home, datastore }) => {
    await home.goto("/datastores");
    await home.keyboard.press("Tab");
    await expect(home.getByRole("link", { name: "Skip to content" })).toBeFocused();
    await home.keyboard.press("Enter");
    await expect(home.getByRole("main")).toBeFocused();
    await home.keyboard.press("/");
    await expect(home.getByLabel("Search by name")).toBeFocused();
    const menu = home.getByLabel(`Actions for ${datastore.name}`);
    await menu.focus();
    await home.keyboard.press("Enter");
    await expect(home.getByRole("link", { name: "Delete…" })).toBeVisible();
    await home.keyboard.press("Escape");
    await expect(home.getByRole("link", { name: "Delete…" })).toBeHidden();
    await expect(menu).toBeFocused();
});

test("no page is wider than a small telephone", async ({ home, datastore }) => {
    await home.setViewportSize({ width: 360, height: 740 });
    const wide: string[] = [];
    for (const [name, open] of pages(home, datastore)) {
        await open();
        await ready(home);
        const width = await home.evaluate(() => document.documentElement.scrollWidth);
        if (width > 360) wide.push(`${name}: ${width} px`);
    }
    expect(wide).toEqual([]);
});
