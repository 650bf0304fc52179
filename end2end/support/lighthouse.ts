// Lighthouse, as it comes: a telephone with a slow connection, simulated. It sees nothing but the Granary under test.

import { chromium, type Page } from "@playwright/test";
import lighthouse from "lighthouse";
import config from "../playwright.config.ts";
import { freePort } from "./granary.ts";

export type Scores = Record<string, number>;
export type Report = { scores: Scores; lost: string[] };

/** Looks at what `page` shows, signed in as it is. `lost` says which audits cost points. */
export const look = async (page: Page, categories: string[]): Promise<Report> => {
    const port = await freePort();
    const { executablePath, args } = config.use?.launchOptions ?? {};
    const browser = await chromium.launch({ executablePath, args: [...(args ?? []), `--remote-debugging-port=${port}`] });
    try {
        const cookies = await page.context().cookies(page.url());
        const result = await lighthouse(page.url(), {
            port,
            onlyCategories: categories,
            extraHeaders: { Cookie: cookies.map(({ name, value }) => `${name}=${value}`).join("; ") },
            logLevel: "error",
        });
        if (!result) throw new Error("Lighthouse said nothing");
        const { lhr } = result;
        if (lhr.runtimeError || new URL(lhr.finalDisplayedUrl).pathname !== new URL(page.url()).pathname) throw new Error(`Lighthouse saw another page: ${lhr.finalDisplayedUrl} ${lhr.runtimeError?.message ?? ""}`);
        const scores = Object.fromEntries(Object.values(lhr.categories).map(({ id, score }) => [id, Math.round((score ?? 0) * 100)]));
        const weighty = Object.values(lhr.categories).flatMap(({ auditRefs }) => auditRefs.filter(({ weight }) => weight > 0).map(({ id }) => id));
        const lost = Object.values(lhr.audits).filter(({ id, score }) => weighty.includes(id) && score !== null && score < 0.9).map(({ id, displayValue, title }) => `${id}: ${displayValue ?? title}`);
        return { scores, lost };
    } finally {
        await browser.close();
    }
};
