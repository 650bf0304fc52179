// A whole life of a datastore by the keyboard alone. Only keys are pressed here: nothing is clicked, filled or focused.

import type { Locator, Page } from "@playwright/test";
import { expect, heading, test, uniqueName, untilRunning } from "../support/test.ts";

test.use({ permissions: ["clipboard-read", "clipboard-write"] });

/** What is wrong with where the focus is: it must be seen, and come after the last one of this page. */
const focusIsWrong = (page: Page) =>
    page.evaluate(() => {
        const now = document.activeElement;
        if (!now || now === document.body) return null;
        const world = window as unknown as { last?: Element };
        const wrong: string[] = [];
        const name = `${now.tagName} ${now.getAttribute("aria-label") ?? now.textContent?.trim().slice(0, 30)}`;
        // A radio button's mark may be drawn by its label or its row.
        const marks = [now, now.closest("label"), now.nextElementSibling, now.closest("tr")];
        const drawn = marks.some((it) => it && getComputedStyle(it).outlineStyle !== "none" && parseFloat(getComputedStyle(it).outlineWidth) > 0);
        const { top, bottom } = now.getBoundingClientRect();
        if (!drawn) wrong.push(`${name}: the focus is not seen`);
        if (bottom < 0 || top > innerHeight) wrong.push(`${name}: the focus is outside of the window`);
        // After the last control of a page comes its first.
        if (world.last?.isConnected && !now.matches(".skip") && !(world.last.compareDocumentPosition(now) & Node.DOCUMENT_POSITION_FOLLOWING)) wrong.push(`${name}: the focus went back`);
        world.last = now;
        return wrong.join("; ") || null;
    });

/** Tab by Tab to a control. */
const tabTo = async (page: Page, target: Locator) => {
    await expect(target).toBeVisible();
    for (let i = 0; i < 80; i++) {
        if (await target.evaluate((it) => it === document.activeElement)) return;
        await page.keyboard.press("Tab");
        expect(await focusIsWrong(page)).toBeNull();
    }
    throw new Error(`80 times Tab, and never at ${target}`);
};

const press = async (page: Page, target: Locator, key = "Enter") => {
    await tabTo(page, target);
    await page.keyboard.press(key);
};

const type = async (page: Page, field: string, text: string) => {
    await tabTo(page, page.getByRole("textbox", { name: field, exact: true }));
    await page.keyboard.press("Control+a");
    await page.keyboard.type(text);
};

const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });

/** Into a group of radio buttons with Tab, to the wanted one with the arrows. */
const pick = async (page: Page, name: string) => {
    const wanted = page.getByRole("radio", { name, exact: true });
    const group = await wanted.getAttribute("name");
    const entry = page.locator(`input[name="${group}"]:checked`);
    await tabTo(page, (await entry.count()) ? entry : page.locator(`input[name="${group}"]:not(:disabled)`).first());
    await page.keyboard.press("Space");
    for (let i = 0; i < 10 && !(await wanted.isChecked()); i++) await page.keyboard.press("ArrowDown");
    await expect(wanted).toBeChecked();
};

const makeOne = async (page: Page, name: string) => {
    await press(page, button(page, "+ Create datastore").first());
    await expect(heading(page, "Databases", 2)).toBeVisible();
    await press(page, button(page, "Continue"));
    await expect(heading(page, "Configuration", 2)).toBeVisible();
    await type(page, "Name", name);
    // Enter in a field means Continue.
    await page.keyboard.press("Enter");
    await expect(heading(page, "Cloud service", 2)).toBeVisible();
    await press(page, button(page, "Continue"));
    await expect(heading(page, "Resources", 2)).toBeVisible();
    await pick(page, "512MB Instance");
    await pick(page, "Volumes");
    await pick(page, "Dynamic");
    await type(page, "Volume size (GB)", "1");
    await press(page, button(page, "Continue"));
    await expect(heading(page, "Preview", 2)).toBeVisible();
    await press(page, button(page, "Finish"));
    await expect(heading(page, name)).toBeVisible();
    await untilRunning(page);
};

test("from sign-in to a deletion without a pointer", async ({ page, person }) => {
    await page.goto("/sign-in");
    await press(page, button(page, "Sign in"));
    await type(page, "Name", person.name);
    await type(page, "Mail address", person.mail);
    await page.keyboard.press("Enter");
    await expect(heading(page, "No datastores yet", 2)).toBeVisible();

    const name = uniqueName();
    await makeOne(page, name);
    const tabs = page.getByRole("navigation", { name: `Datastore ${name}` });

    await press(page, tabs.getByRole("link", { name: /^Users/ }));
    await press(page, button(page, "Reveal password"));
    await expect(page.locator("#password")).toBeVisible();
    const assistant = page.getByRole("region", { name: "Connection assistant" });
    await press(page, assistant.getByRole("button", { name: /^Copy/ }).first());
    await expect(assistant.getByText("Copied", { exact: true }).first()).toBeVisible();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(await assistant.locator("pre code").first().textContent());

    await press(page, tabs.getByRole("link", { name: /^Firewall/ }));
    await type(page, "Address range (CIDR)", "192.0.2.0/24");
    await page.keyboard.press("Enter");
    await expect(page.getByRole("row").filter({ hasText: "192.0.2.0/24" })).toBeVisible();

    await press(page, page.getByRole("navigation", { name: "Breadcrumb" }).getByRole("link", { name: "Datastores" }));
    await expect(heading(page, "Datastores")).toBeVisible();
    await page.keyboard.press("Tab");
    await expect(page.getByRole("link", { name: "Skip to content" })).toBeFocused();
    await page.keyboard.press("Enter");
    await expect(page.getByRole("main")).toBeFocused();
    await page.keyboard.press("/");
    await expect(page.getByLabel("Search by name")).toBeFocused();
    await page.keyboard.type(name);
    await page.keyboard.press("Enter");
    await expect(page).toHaveURL(/q=/);

    const menu = page.getByLabel(`Actions for ${name}`);
    const item = page.getByRole("link", { name: "Delete…" });
    await press(page, menu);
    await expect(item).toBeVisible();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Escape");
    await expect(item).toBeHidden();
    await expect(menu).toBeFocused();
    await page.keyboard.press("Enter");
    await press(page, item);
    await expect(heading(page, `Delete ${name}?`)).toBeVisible();
    await type(page, `To confirm, type the name: ${name}`, name);
    await page.keyboard.press("Enter");
    await expect(page.getByText("Deletion asked for.")).toBeVisible();
    await expect(heading(page, "No datastores yet", 2)).toBeVisible({ timeout: 60_000 });
});
