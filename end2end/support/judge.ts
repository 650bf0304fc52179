// What is asked of every page, whatever it shows.

import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "@playwright/test";

/** What a theme changes. */
const OF_COLOURS = ["color-contrast", "link-in-text-block"];

/** Desk and telephone, in both themes: what axe finds. */
const axe = async (page: Page) => {
    const found: string[] = [];
    for (const width of [1440, 360]) {
        await page.setViewportSize({ width, height: 900 });
        for (const colorScheme of ["light", "dark"] as const) {
            await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
            // There are no frames, which is all that the other mode, twice as slow, is for.
            const builder = new AxeBuilder({ page }).setLegacyMode();
            const { violations } = await (colorScheme === "light" ? builder : builder.withRules(OF_COLOURS)).analyze();
            for (const it of violations) {
                for (const node of it.nodes) found.push(`${width} px, ${colorScheme}: ${it.id}: ${node.target.join(" ")}: ${node.failureSummary}`);
            }
        }
    }
    return found;
};

/** Narrow: a telephone, 320 CSS px, and a window of 1280 px at 200 %. Nothing is wider than the page, nothing is cut off. */
const narrow = async (page: Page) => {
    const found: string[] = [];
    for (const width of [640, 360, 320]) {
        await page.setViewportSize({ width, height: 512 });
        const wrong = await page.evaluate(() => {
            const wide = document.documentElement.scrollWidth;
            const out = wide > innerWidth ? [`the page is ${wide} px wide`] : [];
            for (const element of document.querySelectorAll<HTMLElement>("body *")) {
                const style = getComputedStyle(element);
                if (!element.checkVisibility() || forEars(element) || element.closest("svg, select, [aria-hidden=true]") || !element.textContent?.trim()) continue;
                // What is cut off with dots says all of it in its title.
                const cut = /hidden|clip/.test(style.overflowX) && element.scrollWidth > element.clientWidth + 1 && !element.title;
                const outside = element.getBoundingClientRect().right > innerWidth + 1 && !scrolls(element);
                if (cut || outside) out.push(`${element.tagName}.${element.className} is ${cut ? "cut off" : "outside"}: ${element.textContent.trim().slice(0, 40)}`);
            }
            return out;
            function forEars(element: Element | null): boolean {
                return element !== null && (getComputedStyle(element).clipPath === "inset(50%)" || forEars(element.parentElement));
            }
            function scrolls(element: Element | null): boolean {
                return element !== null && (/auto|scroll/.test(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
            }
        });
        found.push(...wrong.map((it) => `${width} px: ${it}`));
    }
    return found;
};

/** With less motion asked for, nothing moves. */
const motion = async (page: Page) => {
    await page.emulateMedia({ reducedMotion: "reduce" });
    return page.evaluate(() => {
        const out: string[] = [];
        const ms = (list: string) => Math.max(...list.split(",").map((it) => parseFloat(it) * (it.trim().endsWith("ms") ? 1 : 1000)));
        for (const element of document.querySelectorAll("*")) {
            for (const part of ["", "::before", "::after"]) {
                const style = getComputedStyle(element, part);
                const endless = style.animationName !== "none" && style.animationIterationCount !== "1";
                if (ms(style.transitionDuration) > 1 || ms(style.animationDuration) > 1 || endless) out.push(`${element.tagName}.${element.className}${part} moves`);
            }
        }
        for (const it of document.getAnimations()) if (Number(it.effect?.getComputedTiming().endTime) > 1) out.push("an animation runs");
        return out;
    });
};

/** An icon whose drawing is nowhere. */
const icons = (page: Page) => page.locator("svg use").evaluateAll((all) => all.map((it) => it.getAttribute("href") ?? "").filter((href) => !href.startsWith("/")).map((href) => `the icon ${href} has no drawing`));

/** Everything that is wrong with the page as it stands. */
export const judge = async (page: Page, name: string): Promise<string[]> => {
    const found = [...(await axe(page)), ...(await narrow(page)), ...(await motion(page)), ...(await icons(page))];
    await page.setViewportSize({ width: 1440, height: 900 });
    return found.map((it) => `${name}: ${it}`);
};
