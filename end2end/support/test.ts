// What every spec stands on: a person of its own, pages that must not complain, and the steps that many journeys share.

import { test as base, expect, type Locator, type Page } from "@playwright/test";

export { expect };

export type Person = { name: string; mail: string };
export type Datastore = { id: string; name: string };

type Fixtures = {
    /** Somebody nobody else is: an own project, so that tests do not see each other. */
    person: Person;
    /** The page, with this person signed in, on the list. */
    home: Page;
    /** A datastore of this person that runs and lets this machine in; the page shows it. */
    datastore: Datastore;
    complaints: void;
};

export const test = base.extend<Fixtures>({
    baseURL: async ({}, use) => use(process.env.E2E_URL),

    person: async ({}, use, info) => {
        const unique = `${info.testId.slice(-8)}${info.repeatEachIndex}${Date.now().toString(36)}`;
        await use({ name: `Ada ${unique}`, mail: `ada.${unique}@example.org` });
    },

    home: async ({ page, person }, use) => {
        await signIn(page, person);
        await use(page);
    },

    datastore: async ({ home }, use) => {
        await use(await create(home, uniqueName(), { allow: true }));
    },

    // A page on which a script failed, or the browser refused something, is broken even if it looks well.
    complaints: [
        async ({ page }, use) => {
            const said: string[] = [];
            page.on("pageerror", (error) => said.push(`${page.url()}: ${error.name}: ${error.message} ${error.stack}`));
            page.on("console", (message) => {
                // A page that is rightly 404 is said here too.
                if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) said.push(`${page.url()}: ${message.text()} ${JSON.stringify(message.location())}`);
            });
            await use();
            expect(said, "the browser complained").toEqual([]);
        },
        { auto: true },
    ],
});

let count = 0;
/** A name that no other datastore of this run has. */
export const uniqueName = (stem = "orders") => `${stem}-${Date.now().toString(36)}${process.env.TEST_WORKER_INDEX ?? 0}${count++}`;

/** Signs in with the built-in development provider, from wherever the page asks for it. */
export const signIn = async (page: Page, person: Person, from = "/sign-in") => {
    await page.goto(from);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await answerProvider(page, person);
    await expect(page.getByRole("button", { name: "Sign out", exact: true })).toBeVisible();
};

export const signOut = async (page: Page) => {
    await page.getByRole("button", { name: "Sign out", exact: true }).click();
    await expect(heading(page, "Sign in to Granary")).toBeVisible();
};

/** Says to the built-in provider who one is. */
export const answerProvider = async (page: Page, person: Person) => {
    await page.getByLabel(/name/i).fill(person.name);
    await page.getByLabel(/mail/i).fill(person.mail);
    await page.getByRole("button", { name: /sign in|continue/i }).click();
};

export const heading = (page: Page, name: string | RegExp, level = 1) => page.getByRole("heading", { name, level });

export const textbox = (page: Page, name: string) => page.getByRole("textbox", { name, exact: true });

/** A radio button lies under its label, which is what a person clicks. */
export const choose = (page: Page, name: string) => page.getByRole("radio", { name, exact: true }).check({ force: true });

export const proceed = (page: Page) => page.getByRole("button", { name: "Continue", exact: true }).click();

/** From the list into the first step of the wizard. */
export const startWizard = async (page: Page) => {
    await page.goto("/datastores");
    await page.getByRole("button", { name: "+ Create datastore" }).first().click();
    await expect(heading(page, "Databases", 2)).toBeVisible();
};

type Options = { allow?: boolean; engine?: string; topology?: string };

/** From the first step to the review, with everything as proposed but the name and the engine, on the smallest volume. */
export const walkToPreview = async (page: Page, name: string, { allow = false, engine, topology = "one primary" }: Options = {}) => {
    if (engine) await choose(page, engine);
    await proceed(page);
    await expect(heading(page, "Configuration", 2)).toBeVisible();
    await textbox(page, "Name").fill(name);
    await choose(page, `Primary/replicas: ${topology}`);
    await proceed(page);
    await expect(heading(page, "Cloud service", 2)).toBeVisible();
    await proceed(page);
    await expect(heading(page, "Resources", 2)).toBeVisible();
    await choose(page, "512MB Instance");
    await choose(page, "Volumes");
    await choose(page, "Dynamic");
    await textbox(page, "Volume size (GB)").fill("1");
    await page.getByRole("checkbox", { name: /Allow my address/ }).setChecked(allow);
    await proceed(page);
    await expect(heading(page, "Preview", 2)).toBeVisible();
};

export const finish = (page: Page) => page.getByRole("button", { name: "Finish", exact: true }).click();

/** The status in the header of a datastore's pages. */
export const status = (page: Page): Locator => page.locator(".live-status");

/** Until the page, by itself, says that the datastore runs and that nothing is left to do. */
export const untilRunning = async (page: Page) => {
    await expect(status(page)).toContainText("Running", { timeout: 120_000 });
    const job = page.locator(".job-line").first();
    await expect(job).toContainText("Done");
};

/** The whole way from the list to a running datastore. */
export const create = async (page: Page, name: string, options: Options = {}): Promise<Datastore> => {
    await startWizard(page);
    await walkToPreview(page, name, options);
    await finish(page);
    await page.waitForURL(/\/datastores\/[0-9a-f-]{36}$/);
    const id = new URL(page.url()).pathname.split("/")[2] ?? "";
    await untilRunning(page);
    const datastore = { id, name };
    await visit(page, `/datastores/${id}`);
    return datastore;
};

/** Goes to a page, also while the one that is shown is about to load itself again, which ends a visit that has just begun. */
export const visit = async (page: Page, path: string) => {
    await expect(async () => {
        await page.goto(path);
    }).toPass({ timeout: 20_000 });
};

/** Opens a tab of the datastore that the page shows. */
export const openTab = async (page: Page, { id, name }: Datastore, tab: RegExp) => {
    await visit(page, `/datastores/${id}`);
    await page.getByRole("navigation", { name: `Datastore ${name}` }).getByRole("link", { name: tab }).click();
};

/** Until no work is left: pages then no longer load themselves again. */
export const settled = async (page: Page, datastore: Datastore) => {
    await openTab(page, datastore, /^Activity/);
    await expect(page.getByRole("region", { name: "Jobs" })).not.toContainText(/Queued|Running/);
};

/** The lines of one view of the connection assistant, as the page has them. */
export const snippet = async (page: Page, view: string): Promise<string> => {
    const assistant = page.getByRole("region", { name: "Connection assistant" });
    await assistant.getByRole("radio", { name: view, exact: true }).check();
    const lines = assistant.getByLabel(view, { exact: true }).locator("code");
    await expect(lines).toBeVisible();
    return (await lines.textContent()) ?? "";
};

/** Reveals the first password on the Users tab, and reads it. */
export const password = async (page: Page): Promise<string> => {
    const users = page.getByRole("region", { name: "Admin user" });
    const shown = users.locator("#password");
    if (!(await shown.isVisible())) await users.getByRole("button", { name: "Reveal password" }).click();
    await expect(shown).toBeVisible();
    return (await shown.textContent()) ?? "";
};

/** The message beside a field. */
export const fieldError = (page: Page, field: string) => page.locator(`#${field}-error`);
