// Every page there is, for the specs that look at all of them.

import type { Page } from "@playwright/test";
import { type Datastore, heading, proceed, startWizard, textbox, uniqueName, walkToPreview } from "./test.ts";

/** Pages of somebody who signed in and has one datastore; each opens itself. */
export const pages = (page: Page, { id }: Datastore): [string, () => Promise<unknown>][] => [
    ["list", () => page.goto("/datastores")],
    ["list, nothing found", () => page.goto("/datastores?q=nothing-has-this-name")],
    ["create", () => page.goto("/datastores/new")],
    ["wizard, databases", () => startWizard(page)],
    ["wizard, configuration", () => proceed(page)],
    ["wizard, configuration with errors", () => textbox(page, "Name").fill("o'brien").then(() => proceed(page))],
    ["wizard, cloud service", () => textbox(page, "Name").fill(uniqueName()).then(() => proceed(page))],
    ["wizard, resources", () => proceed(page)],
    ["wizard, preview", () => startWizard(page).then(() => walkToPreview(page, uniqueName()))],
    ["overview", () => page.goto(`/datastores/${id}`)],
    ["nodes", () => page.goto(`/datastores/${id}/nodes`)],
    ["users", () => page.goto(`/datastores/${id}/users`)],
    ["firewall", () => page.goto(`/datastores/${id}/firewall`)],
    ["activity", () => page.goto(`/datastores/${id}/activity`)],
    ["settings", () => page.goto(`/datastores/${id}/settings`)],
    ["delete", () => page.goto(`/datastores/${id}/delete`)],
    ["not found", () => page.goto("/datastores/0190b0a0-0000-7000-8000-000000000000")],
    ["no such page", () => page.goto("/nowhere")],
];

export const ready = (page: Page) => heading(page, /./).first().waitFor();
