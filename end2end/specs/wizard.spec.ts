import type { Page } from "@playwright/test";
import { answerProvider, choose, create, expect, fieldError, finish, heading, openTab, proceed, startWizard, status, test, textbox, uniqueName, untilRunning, walkToPreview } from "../support/test.ts";

/** Goes to a step of the draft that the page shows. */
const step = (page: Page, slug: string) => page.goto(page.url().replace(/[^/]+$/, slug));

test("r002-r003 a datastore is made in five steps, in their order, and runs", async ({ home }) => {
    await startWizard(home);
    const steps = home.getByRole("navigation", { name: "Steps" }).getByRole("listitem");
    await expect(steps).toHaveText([/Databases/, /Configuration/, /Cloud service/, /Resources/, /Preview/]);
    const name = uniqueName();
    await walkToPreview(home, name);
    await finish(home);
    await expect(heading(home, name)).toBeVisible();
    await untilRunning(home);
    await home.goto("/datastores");
    const row = home.getByRole("row").filter({ hasText: name });
    await expect(row).toContainText("Running");
    await expect(row).toContainText("PostgreSQL 15");
    await expect(row).toContainText("512MB Instance × 1");
});

test("r078 an empty list says how to start", async ({ home }) => {
    await expect(heading(home, "No datastores yet", 2)).toBeVisible();
    await expect(home.getByRole("button", { name: "+ Create datastore" })).toBeVisible();
});

test("r004-r005 engines that cannot run here say why, versions say how long they are supported", async ({ home }) => {
    await startWizard(home);
    await expect(home.getByRole("radio", { name: "PostgreSQL" })).toBeChecked();
    for (const engine of ["MariaDB", "MySQL", "Redis"]) {
        const radio = home.getByRole("radio", { name: engine });
        await expect(radio).toBeVisible();
        if (await radio.isDisabled()) await expect(radio).toHaveAccessibleDescription(/install|yet|not/i);
    }
    await expect(home.getByLabel("Version").getByRole("option").filter({ hasText: "PostgreSQL 15" })).toContainText("supported until 11/11/2027");
});

test("r006 a name is checked, with the reason, and kept as it was typed", async ({ home }) => {
    const taken = (await create(home, uniqueName())).name;
    await startWizard(home);
    await proceed(home);
    for (const [name, says] of [
        ["", "Give the"],
        ["a".repeat(65), "65"],
        [taken, `already a datastore named “${taken}”`],
        ["o'brien", "“'”"],
        ['say-"hi"', "“\"”"],
        ["back\\slash", "“\\”"],
        ["drop;--", "“;”"],
        ["elephant🐘", "“🐘”"],
    ] as const) {
        await textbox(home, "Name").fill(name);
        await proceed(home);
        await expect(heading(home, "Configuration", 2)).toBeVisible();
        await expect(home.getByRole("alert")).toContainText(says);
        await expect(fieldError(home, "name")).toContainText(says);
        await expect(textbox(home, "Name")).toHaveValue(name);
    }
});

test("r006 a thirteenth tag is refused", async ({ home }) => {
    await startWizard(home);
    await proceed(home);
    await textbox(home, "Tags").fill([...Array(13).keys()].map((n) => `t${n}`).join(", "));
    await proceed(home);
    await expect(fieldError(home, "tags")).toContainText("At most 12 tags; these are 13");
});

test("r080 a volume is a whole number of GB from 1 to 50", async ({ home }) => {
    await startWizard(home);
    await walkToPreview(home, uniqueName());
    await step(home, "resources");
    for (const [size, says] of [
        ["0", "At least 1 GB"],
        ["51", "At most 50 GB"],
        ["1.5", "whole number"],
        ["x", "“x” is not one"],
        ["", "from 1 to 50"],
    ] as const) {
        await textbox(home, "Volume size (GB)").fill(size);
        await proceed(home);
        await expect(heading(home, "Resources", 2)).toBeVisible();
        await expect(fieldError(home, "volume_gb")).toContainText(says);
        await expect(textbox(home, "Volume size (GB)")).toHaveValue(size);
    }
    await textbox(home, "Volume size (GB)").fill("50");
    await proceed(home);
    await expect(heading(home, "Preview", 2)).toBeVisible();
});

test("r009 the only region is chosen already", async ({ home }) => {
    await startWizard(home);
    await proceed(home);
    await proceed(home);
    await expect(home.getByRole("radio", { name: "This machine" })).toBeChecked();
    await proceed(home);
    await expect(heading(home, "Resources", 2)).toBeVisible();
});

test("r012-r013 ephemeral storage has the flavor's size, cannot be edited, and says what it risks", async ({ home }) => {
    await startWizard(home);
    await walkToPreview(home, uniqueName());
    await step(home, "resources");
    await choose(home, "Ephemeral");
    await expect(home.getByRole("radio", { name: "Ephemeral" })).toHaveAccessibleDescription(/fastest.*single point of failure.*replicas/i);
    await expect(home.getByText(/^Size: 5 GB/)).toBeVisible();
    await expect(textbox(home, "Volume size (GB)")).toBeHidden();
    await choose(home, "1GB Instance");
    await expect(home.getByText(/^Size: 10 GB/)).toBeVisible();
    await proceed(home);
    await expect(home.getByText("Ephemeral, 10 GB").first()).toBeVisible();
});

test("r016 Back and the links of the review lose nothing", async ({ home }) => {
    await startWizard(home);
    const name = uniqueName();
    await walkToPreview(home, name, { allow: true });
    await home.getByRole("link", { name: "Change name" }).click();
    await expect(textbox(home, "Name")).toHaveValue(name);
    // Back saves what was typed, right or wrong.
    await textbox(home, "Tags").fill("team:x, ;wrong;");
    await home.getByRole("button", { name: "Back", exact: true }).click();
    await expect(heading(home, "Databases", 2)).toBeVisible();
    await proceed(home);
    await expect(textbox(home, "Tags")).toHaveValue("team:x, ;wrong;");
    await textbox(home, "Tags").fill("team:x");
    await proceed(home);
    await proceed(home);
    await expect(textbox(home, "Volume size (GB)")).toHaveValue("1");
    await expect(home.getByRole("checkbox", { name: /Allow my address/ })).toBeChecked();
    await home.reload();
    await expect(home.getByRole("radio", { name: "512MB Instance" })).toBeChecked();
});

test("r016 a step that is wrong cannot be skipped", async ({ home }) => {
    await startWizard(home);
    await proceed(home);
    await textbox(home, "Name").fill("");
    await proceed(home);
    for (const later of ["cloud-service", "resources", "preview"]) {
        await step(home, later);
        await expect(home).toHaveURL(/\/configuration$/);
        await expect(heading(home, "Configuration", 2)).toBeVisible();
    }
    // Nor by posting Finish without its page.
    const answer = await home.request.post("/api/wizard/finish", {
        form: { id: home.url().split("/").at(-2) ?? "" },
        headers: { "sec-fetch-site": "same-origin", accept: "text/html" },
    });
    expect(answer.status(), await answer.text()).toBeLessThan(500);
    await home.goto("/datastores");
    await expect(heading(home, "No datastores yet", 2)).toBeVisible();
});

test("r016 Finish twice makes one datastore", async ({ home }) => {
    await startWizard(home);
    const name = uniqueName();
    await walkToPreview(home, name);
    const form = home.locator("form").filter({ has: home.getByRole("button", { name: "Finish" }) });
    const url = await form.evaluate((it: HTMLFormElement) => it.action);
    const id = await form.locator("input[name=id]").inputValue();
    const post = () => home.request.post(url, { form: { id }, headers: { "sec-fetch-site": "same-origin", accept: "text/html" } });
    const answers = await Promise.all([post(), post(), post()]);
    const places = new Set(answers.map((answer) => answer.url()));
    expect(places.size, [...places].join(" ")).toBe(1);
    expect([...places][0]).toMatch(/\/datastores\/[0-9a-f-]{36}$/);
    await home.goto("/datastores");
    await expect(home.getByRole("row").filter({ hasText: name })).toHaveCount(1);
    // Nor by going back in the browser.
    await home.goto([...places][0] ?? "");
    await untilRunning(home);
});

test("r016 a session that ends in the middle loses nothing that was typed", async ({ home, person }) => {
    await startWizard(home);
    await proceed(home);
    const name = uniqueName();
    await textbox(home, "Name").fill(name);
    await textbox(home, "Tags").fill("kept, too");
    await home.context().clearCookies();
    await proceed(home);
    await expect(heading(home, "Sign in to Granary")).toBeVisible();
    await home.getByRole("button", { name: "Sign in", exact: true }).click();
    await answerProvider(home, person);
    await expect(heading(home, "Configuration", 2)).toBeVisible();
    await expect(textbox(home, "Name")).toHaveValue(name);
    await expect(textbox(home, "Tags")).toHaveValue("kept, too");
});

test("r079 a post that no page sends is answered without harm", async ({ home }) => {
    await startWizard(home);
    const id = home.url().split("/").at(-2) ?? "";
    const post = (path: string, form: Record<string, string>) =>
        home.request.post(path, { form, headers: { "sec-fetch-site": "same-origin", accept: "text/html" }, maxRedirects: 0 });
    for (const [path, form] of [
        ["/api/wizard/save", { id, step: "Nowhere" }],
        ["/api/wizard/save", { id: "not-an-id", step: "Databases" }],
        ["/api/wizard/save", { id, step: "Databases", "fields[engine]": "oracle", "fields[version]": "15'; drop table datastores" }],
        ["/api/wizard/finish", {}],
    ] as const) {
        const answer = await post(path, form);
        expect(answer.status(), `${path}: ${await answer.text()}`).toBeLessThan(500);
    }
    await home.goto("/datastores");
    await expect(heading(home, "No datastores yet", 2)).toBeVisible();
});

test("another project's datastore and draft look like none", async ({ datastore, home, browser }) => {
    await startWizard(home);
    const draft = home.url();
    const other = await browser.newContext();
    const page = await other.newPage();
    const { signIn } = await import("../support/test.ts");
    await signIn(page, { name: "Somebody else", mail: `else.${uniqueName()}@example.org` }, new URL("/sign-in", draft).href);
    const unknown = "0190b0a0-0000-7000-8000-000000000000";
    const seen = async (path: string) => {
        const answer = await page.goto(new URL(path, draft).href);
        return { status: answer?.status(), words: await page.getByRole("main").innerText() };
    };
    for (const tab of ["", "/nodes", "/users", "/firewall", "/activity", "/settings", "/delete"]) {
        const theirs = await seen(`/datastores/${datastore.id}${tab}`);
        expect(theirs.status).toBe(404);
        expect(theirs).toEqual(await seen(`/datastores/${unknown}${tab}`));
    }
    const theirs = await seen(new URL(draft).pathname);
    expect(theirs.status).toBe(404);
    expect(theirs).toEqual(await seen(new URL(draft).pathname.replace(/[0-9a-f-]{36}/, unknown)));
    await page.goto(new URL("/datastores", draft).href);
    await expect(heading(page, "No datastores yet", 2)).toBeVisible();
    await other.close();
    await openTab(home, datastore, /^Overview/);
    await expect(status(home)).toContainText("Running");
});
