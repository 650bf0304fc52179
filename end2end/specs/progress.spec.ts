import { expect, finish, heading, openTab, startWizard, status, test, uniqueName, untilRunning, walkToPreview } from "../support/test.ts";

test("r017 the steps are shown one by one until the datastore runs, by itself", async ({ home }) => {
    await startWizard(home);
    const name = uniqueName();
    await walkToPreview(home, name);
    await finish(home);
    await expect(heading(home, name)).toBeVisible();
    const job = home.getByRole("region", { name: "Create datastore" });
    // Those to come are shown too, from the first moment on.
    const steps = 10;
    await expect(job.getByRole("listitem")).toHaveCount(steps);
    await untilRunning(home);
    await expect(job.getByText(`${steps} of ${steps} steps done`)).toBeVisible();
    await expect(job.getByRole("listitem").filter({ hasText: ": Done" })).toHaveCount(steps);
    await openTab(home, { id: new URL(home.url()).pathname.split("/")[2] ?? "", name }, /^Activity/);
    await expect(home.getByRole("region", { name: "Jobs" })).toContainText("Create datastore");
    await expect(home.getByRole("region", { name: "Audit events" }).getByRole("row")).not.toHaveCount(0);
});

test("r017 the list follows too, in another window", async ({ home, context }) => {
    const list = await context.newPage();
    await list.goto("/datastores");
    await startWizard(home);
    const name = uniqueName();
    await walkToPreview(home, name);
    await finish(home);
    const row = list.getByRole("row").filter({ hasText: name });
    await expect(row).toContainText("Running", { timeout: 120_000 });
});

test("a restart is shown while it goes on, and ends in Running", async ({ home, datastore }) => {
    await openTab(home, datastore, /^Settings/);
    await home.getByRole("region", { name: "Restart" }).getByRole("button", { name: "Restart" }).click();
    await expect(home.getByText("Restart asked for.")).toBeVisible();
    await openTab(home, datastore, /^Activity/);
    await expect(home.getByRole("region", { name: "Jobs" })).toContainText(/Restart/);
    await untilRunning(home);
    await expect(status(home)).toContainText("Running");
});
