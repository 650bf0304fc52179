// What holds for every page in every state: axe finds nothing at 1440 and 360 px in either theme, nothing is lost at 200 %
// or at 320 px, and nothing moves where less motion is asked for.

import { readFileSync, writeFileSync } from "node:fs";
import type { Page } from "@playwright/test";
import { answerProvider, create, expect, finish, heading, signIn, startWizard, status, test, uniqueName, walkToPreview } from "../support/test.ts";
import { datastorePages, failedPages, type Place, ready, replicatedPages, wizard } from "../support/pages.ts";
import { Granary } from "../support/granary.ts";
import { judge } from "../support/judge.ts";

const all = async (page: Page, places: Place[]) => {
    const found: string[] = [];
    for (const [name, open] of places) {
        await open();
        await ready(page);
        found.push(...(await judge(page, name)));
    }
    expect(found.join("\n")).toBe("");
};

test.describe.configure({ timeout: 600_000 });

test("every step of the wizard, as it comes and with errors", async ({ home }) => {
    await all(home, wizard(home));
});

test("every page of a datastore", async ({ home, datastore }) => {
    await all(home, datastorePages(home, datastore));
});

test("the pages of a datastore with replicas", async ({ home }) => {
    await all(home, replicatedPages(home, await create(home, uniqueName(), { topology: "one primary, two replicas" })));
});

test("the pages before sign-in, and an empty list", async ({ page, person }) => {
    const places: Place[] = ["", "?error=denied", "?error=not-allowed"].map((query) => [`sign-in${query}`, () => page.goto(`/sign-in${query}`)]);
    places.push(["built-in provider", () => page.getByRole("button", { name: "Sign in", exact: true }).click()]);
    await all(page, places);
    await answerProvider(page, person);
    await expect(heading(page, "No datastores yet", 2)).toBeVisible();
    await all(page, [["empty list", () => page.reload()]]);
});

test("the pages of a datastore whose creation failed", async ({ browser, person }, info) => {
    // Its endpoint's address is none of this machine's.
    const catalogue = readFileSync(new URL("../../src/catalogue.toml", import.meta.url), "utf8");
    const broken = info.outputPath("catalogue.toml");
    writeFileSync(broken, catalogue.replace(/^platform = "local"$/m, '$&\nendpoint_address = "192.0.2.1"'));
    const granary = await Granary.start({ GRANARY_CATALOGUE: broken });
    const context = await browser.newContext({ baseURL: granary.url, locale: "en-GB" });
    try {
        const page = await context.newPage();
        await signIn(page, person);
        await startWizard(page);
        const name = uniqueName();
        await walkToPreview(page, name);
        await finish(page);
        await page.waitForURL(/\/datastores\/[0-9a-f-]{36}$/);
        await expect(status(page)).toContainText("Failed", { timeout: 180_000 });
        await expect(page.getByRole("button", { name: "Retry" })).toBeVisible();
        await all(page, failedPages(page, { id: new URL(page.url()).pathname.split("/")[2] ?? "", name }));
    } finally {
        await context.close();
        await granary.stop();
    }
});

test("the page that is shown while the metadata database is away", async ({ browser, person }) => {
    const granary = await Granary.start();
    const context = await browser.newContext({ baseURL: granary.url, locale: "en-GB" });
    let comeBack = () => true;
    try {
        const page = await context.newPage();
        await signIn(page, person);
        comeBack = granary.loseMetadata();
        const away = async () => expect((await page.goto("/datastores"))?.status()).toBe(503);
        await expect(away).toPass({ timeout: 30_000 });
        await expect(page.getByText("Your databases go on")).toBeVisible();
        await all(page, [["metadata away", away]]);
        comeBack();
        await expect(async () => expect((await page.goto("/datastores"))?.status()).toBe(200)).toPass({ timeout: 60_000 });
    } finally {
        comeBack();
        await context.close();
        await granary.stop();
    }
});

test("with forced colours, what is chosen can still be told apart", async ({ home }) => {
    await home.emulateMedia({ forcedColors: "active" });
    await startWizard(home);
    const look = (checked: boolean) =>
        home.locator(".choice").filter({ has: home.locator(checked ? "input:checked" : "input:not(:checked)") }).first().evaluate((it) => {
            const { borderTopColor, outlineColor, outlineStyle } = getComputedStyle(it);
            return [borderTopColor, outlineColor, outlineStyle].join(" ");
        });
    expect(await look(true)).not.toBe(await look(false));
});
