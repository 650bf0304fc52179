// With SHOTS=1: a picture of every page, in both themes and three widths, in end2end/shots/.

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { create, test, uniqueName } from "../support/test.ts";
import { pages, ready, replicatedPages } from "../support/pages.ts";

const folder = fileURLToPath(new URL("../shots", import.meta.url));

test("pictures of every page", async ({ page, home, datastore, browser, baseURL }) => {
    test.skip(!process.env.SHOTS, "SHOTS=1 takes them");
    test.setTimeout(1_800_000);
    mkdirSync(folder, { recursive: true });
    const outside = await (await browser.newContext({ baseURL })).newPage();
    const all: [string, typeof page, () => Promise<unknown>][] = [
        ["sign-in", outside, () => outside.goto("/sign-in")],
        ["provider", outside, () => outside.getByRole("button", { name: "Sign in", exact: true }).click()],
        ...[...pages(home, datastore), ...replicatedPages(home, await create(home, uniqueName(), { topology: "one primary, two replicas" }))].map(([name, open]): [string, typeof page, () => Promise<unknown>] => [name, home, open]),
    ];
    for (const [name, at, open] of all) {
        await at.setViewportSize({ width: 1440, height: 900 });
        await open();
        await ready(at);
        for (const width of [360, 768, 1440]) {
            await at.setViewportSize({ width, height: 900 });
            for (const colorScheme of ["light", "dark"] as const) {
                await at.emulateMedia({ colorScheme, reducedMotion: "reduce" });
                await at.screenshot({ path: `${folder}/${name.replace(/\W+/g, "-")}-${width}-${colorScheme}.png`, fullPage: true });
            }
        }
    }
});
