import { Granary, freePort } from "../support/granary.ts";
import { Issuer, client } from "../support/issuer.ts";
import { answerProvider, expect, heading, signIn, signOut, test } from "../support/test.ts";

test.describe("the built-in provider", () => {
    test("r001 signing in opens the dashboard, signing out closes it", async ({ page, person }) => {
        await signIn(page, person);
        await expect(page).toHaveURL(/\/datastores$/);
        await expect(page.getByText(person.name, { exact: true })).toBeVisible();
        await signOut(page);
        await page.goto("/datastores");
        await expect(heading(page, "Sign in to Granary")).toBeVisible();
        await expect(page.getByText(person.name, { exact: true })).toHaveCount(0);
    });

    test("r001 a page that asks for sign-in is where one lands afterwards", async ({ page, person }) => {
        await page.goto("/datastores?q=orders&sort=name");
        await expect(page).toHaveURL(/\/sign-in\?return=/);
        await page.getByRole("button", { name: "Sign in", exact: true }).click();
        await answerProvider(page, person);
        await expect(page).toHaveURL(/\/datastores\?q=orders&sort=name$/);
    });

    test("r001 a link cannot lead away after sign-in", async ({ page, person, baseURL }) => {
        for (const away of ["https://example.org/", "//example.org/", "/\\example.org", "javascript:alert(1)"]) {
            await signIn(page, person, `/sign-in?return=${encodeURIComponent(away)}`);
            expect(new URL(page.url()).origin).toBe(new URL(baseURL ?? "").origin);
            await signOut(page);
        }
    });

    test("r001 a link cannot put words on the sign-in page", async ({ page }) => {
        await page.goto("/sign-in?error=call+555-0100+and+tell+your+password");
        await expect(page.getByText("555-0100")).toHaveCount(0);
        await expect(page.getByRole("alert")).toContainText("Try again");
    });

    test("r001 localhost leads to the public URL", async ({ page, baseURL }) => {
        await page.goto((baseURL ?? "").replace("127.0.0.1", "localhost"));
        await expect(page).toHaveURL(new RegExp(`^${baseURL}/sign-in`));
    });
});

test.describe("the organisation's issuer", () => {
    test.describe.configure({ mode: "serial" });
    let granary: Granary;
    let issuer: Issuer | undefined;
    let port: number;

    const accounts = {
        ada: { name: "Ada Lovelace", email: "ada@example.org", email_verified: true },
        mallory: { name: "Mallory", email: "mallory@example.net", email_verified: true },
        eve: { name: "Eve", email: "eve@example.org", email_verified: false },
        grace: { name: "Grace Hopper", email: "grace@example.com", email_verified: true, groups: ["databases"] },
    };

    test.beforeAll(async () => {
        port = await freePort();
        // The issuer does not run yet: Granary starts without it.
        granary = await Granary.start({
            GRANARY_OIDC_ISSUER: `http://127.0.0.1:${port}`,
            GRANARY_OIDC_CLIENT_ID: client.client_id,
            GRANARY_OIDC_CLIENT_SECRET: client.client_secret,
            GRANARY_OIDC_ALLOW: "domain:example.org, group:databases",
        });
    });

    test.afterAll(async () => {
        await issuer?.stop();
        await granary?.stop();
    });

    test.use({ baseURL: async ({}, use) => use(granary?.url) });

    test("r001 an issuer that is down is said, and nothing else fails", async ({ page, request }) => {
        expect((await request.get("/readyz")).ok()).toBe(true);
        await page.goto("/sign-in");
        await page.getByRole("button", { name: "Sign in", exact: true }).click();
        await expect(page.getByRole("alert")).toContainText("does not answer");
    });

    test("r001 signing in with the organisation's account opens the dashboard", async ({ page }) => {
        issuer = await Issuer.start(port, granary.url, accounts);
        // It was asked a moment ago; Granary may wait a little before it asks again.
        await expect(async () => {
            await page.goto("/sign-in");
            await page.getByRole("button", { name: "Sign in", exact: true }).click();
            await expect(heading(page, "The organisation")).toBeVisible({ timeout: 1000 });
        }).toPass({ timeout: 60_000 });
        await page.getByRole("button", { name: "Continue as ada" }).click();
        await expect(page).toHaveURL(`${granary.url}/datastores`);
        await expect(page.getByText("Ada Lovelace", { exact: true })).toBeVisible();
        await expect(page.getByText("development provider")).toHaveCount(0);
        // Signing out here leads to the issuer, to sign out there too, and back.
        await page.getByRole("button", { name: "Sign out", exact: true }).click();
        await page.getByRole("button", { name: "Sign out everywhere" }).click();
        await expect(page).toHaveURL(`${granary.url}/sign-in`);
        await page.goto("/datastores");
        await expect(heading(page, "Sign in to Granary")).toBeVisible();
    });

    const attempt = async (page: import("@playwright/test").Page, button: string) => {
        // A test that is run alone finds none.
        issuer ??= await Issuer.start(port, granary.url, accounts);
        await page.goto("/sign-in");
        await page.getByRole("button", { name: "Sign in", exact: true }).click();
        await page.getByRole("button", { name: button }).click();
    };

    test("r001 an account of an allowed group may come in", async ({ page }) => {
        await attempt(page, "Continue as grace");
        await expect(page.getByText("Grace Hopper", { exact: true })).toBeVisible();
    });

    test("r001 an account that is not among the customers stays outside, and is told so", async ({ page }) => {
        // Neither another domain nor an unverified address of the right one.
        for (const who of ["mallory", "eve"]) {
            await page.context().clearCookies();
            await attempt(page, `Continue as ${who}`);
            await expect(page.getByRole("alert")).toContainText("not among those that may use this Granary");
            await page.goto("/datastores");
            await expect(heading(page, "Sign in to Granary")).toBeVisible();
        }
    });

    test("r001 who says no at the issuer comes back and may try again", async ({ page }) => {
        await attempt(page, "Cancel");
        await expect(page.getByRole("alert")).toContainText("did not sign you in");
        await expect(page.getByRole("button", { name: "Sign in", exact: true })).toBeVisible();
    });
});
