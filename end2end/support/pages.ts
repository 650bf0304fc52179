// Every page there is, in every state that looks different, for the specs that look at all of them.

import type { Page } from "@playwright/test";
import { type Datastore, choose, expect, fieldError, heading, proceed, startWizard, textbox, uniqueName, visit, walkToPreview } from "./test.ts";

/** A name, and the way there from whatever was shown before. */
export type Place = [string, () => Promise<unknown>];

/** The first step once more, as if its fields had never been on the page: that is how a form comes back with errors. */
const postWithout = async (page: Page, field: string) => {
    for (const control of await page.locator(`[name="fields[${field}]"]`).all()) await control.evaluate((it: HTMLInputElement) => (it.disabled = true));
    await proceed(page);
    await expect(fieldError(page, field)).not.toBeEmpty();
};

const post = async (page: Page, button: string) => {
    await page.getByRole("button", { name: button, exact: true }).click();
    await expect(page.getByRole("alert").first()).toBeVisible();
};

/** The wizard's steps, each as it comes and with something wrong. */
export const wizard = (page: Page): Place[] => [
    ["create", () => page.goto("/datastores/new")],
    ["wizard, databases", () => startWizard(page)],
    ["wizard, databases with errors", () => postWithout(page, "engine")],
    ["wizard, configuration", () => startWizard(page).then(() => proceed(page))],
    ["wizard, configuration with errors", () => textbox(page, "Name").fill("o'brien").then(() => proceed(page)).then(() => expect(fieldError(page, "name")).not.toBeEmpty())],
    ["wizard, cloud service", () => textbox(page, "Name").fill(uniqueName()).then(() => proceed(page)).then(() => expect(heading(page, "Cloud service", 2)).toBeVisible())],
    ["wizard, cloud service with errors", () => postWithout(page, "region")],
    ["wizard, resources", () => choose(page, "This machine").then(() => proceed(page)).then(() => expect(heading(page, "Resources", 2)).toBeVisible())],
    ["wizard, resources on ephemeral storage", () => choose(page, "Ephemeral")],
    ["wizard, resources with errors", () => choose(page, "Volumes").then(() => textbox(page, "Volume size (GB)").fill("1.5")).then(() => proceed(page)).then(() => expect(fieldError(page, "volume_gb")).not.toBeEmpty())],
    ["wizard, preview", () => startWizard(page).then(() => walkToPreview(page, uniqueName()))],
];

/** What a datastore has. */
export const datastorePages = (page: Page, { id, name }: Datastore): Place[] => [
    ["list", () => page.goto("/datastores")],
    ["list with an open menu", () => page.getByLabel(`Actions for ${name}`).click()],
    ["list, nothing found", () => page.goto("/datastores?q=nothing-has-this-name")],
    ["overview", () => page.goto(`/datastores/${id}`)],
    ["overview with an open menu", () => page.getByLabel("Restart…").or(page.getByText("Restart…", { exact: true })).first().click()],
    ["nodes", () => page.goto(`/datastores/${id}/nodes`)],
    ["users", () => page.goto(`/datastores/${id}/users`)],
    ["users, password revealed", () => page.getByRole("button", { name: "Reveal password" }).click().then(() => expect(page.locator("#password")).toBeVisible())],
    ["firewall", () => page.goto(`/datastores/${id}/firewall`)],
    ["firewall with errors", () => textbox(page, "Address range (CIDR)").fill("10.1.2.3/8").then(() => post(page, "+ Create trusted source"))],
    ["firewall, open to everyone", () => page.getByText("Open to everyone (0.0.0.0/0").click()],
    ["logs", () => page.goto(`/datastores/${id}/logs`)],
    ["logs, nothing found", () => page.goto(`/datastores/${id}/logs?q=nothing-says-this`)],
    ["activity", () => page.goto(`/datastores/${id}/activity`)],
    ["settings", () => page.goto(`/datastores/${id}/settings`)],
    ["settings with errors", () => textbox(page, "Name").fill("o'brien").then(() => post(page, "Save name"))],
    ["delete", () => page.goto(`/datastores/${id}/delete`)],
    ["delete with errors", () => post(page, "Delete datastore")],
    ["not found", () => page.goto("/datastores/0190b0a0-0000-7000-8000-000000000000")],
    ["no such page", () => page.goto("/nowhere")],
    ["an error without a frame", () => page.goto("/datastores/0190b0a0-0000-7000-8000-000000000000/events")],
];

/** What looks different with replicas. */
export const replicatedPages = (page: Page, { id }: Datastore): Place[] => [
    ["overview with replicas", () => page.goto(`/datastores/${id}`)],
    ["nodes with replicas", () => page.goto(`/datastores/${id}/nodes`)],
    ["nodes, about to replace", () => page.getByText("Replace…", { exact: true }).first().click()],
    ["users with replicas", () => page.goto(`/datastores/${id}/users?endpoint=replica`)],
    ["settings with replicas", () => page.goto(`/datastores/${id}/settings`)],
    ["settings of readers with errors", () => textbox(page, "Most MB of log behind").fill("x").then(() => page.getByRole("region", { name: "Replica endpoint" }).getByRole("button", { name: "Save" }).click()).then(() => expect(page.getByRole("alert").first()).toBeVisible())],
];

/** Pages of somebody who signed in and has one datastore. */
export const pages = (page: Page, datastore: Datastore): Place[] => [...wizard(page), ...datastorePages(page, datastore)];

/** Creation that failed for good, and what stands on its pages. */
export const failedPages = (page: Page, { id }: Datastore): Place[] => [
    ["list with a failed one", () => visit(page, "/datastores")],
    ["overview, failed", () => visit(page, `/datastores/${id}`)],
    ["overview, about to abandon", () => page.locator(".confirm summary").first().click()],
    ["nodes, failed", () => visit(page, `/datastores/${id}/nodes`)],
    ["users, failed", () => visit(page, `/datastores/${id}/users`)],
    ["firewall, failed", () => visit(page, `/datastores/${id}/firewall`)],
    ["activity, failed", () => visit(page, `/datastores/${id}/activity`)],
    ["settings, failed", () => visit(page, `/datastores/${id}/settings`)],
];

/** A datastore with a replica and a drill that is over. */
export const drilledPages = (page: Page, { id }: Datastore): Place[] => [
    ["nodes, drilled", () => visit(page, `/datastores/${id}/nodes`)],
    ["nodes, drilled, the numbers", () => page.getByText("Writes in each second", { exact: true }).click()],
    ["nodes, about to promote for a drill", () => page.getByText("Planned promotion…").click()],
    ["nodes, about to kill for a drill", () => page.getByText("Kill the primary…").click()],
    ["drill", () => page.getByRole("region", { name: "Failover drill" }).getByRole("row").nth(-1).getByRole("link").click()],
];

export const ready = (page: Page) => heading(page, /./).first().waitFor();
