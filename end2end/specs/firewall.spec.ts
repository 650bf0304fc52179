import { create, expect, fieldError, openTab, password, settled, snippet, test, textbox, uniqueName } from "../support/test.ts";
import { run, start } from "../support/shell.ts";

const QUICK = { PGCONNECT_TIMEOUT: "10" };

test("r026 no source, no access: refused before, allowed after, cut again when it is removed", async ({ home }) => {
    const datastore = await create(home, uniqueName());
    await openTab(home, datastore, /^Users/);
    const lines = await snippet(home, "psql");
    const env = { ...QUICK, PGPASSWORD: await password(home) };

    const before = await run(lines, env, "select 1;\n");
    expect(before.code).not.toBe(0);

    await openTab(home, datastore, /^Firewall/);
    const access = home.getByRole("region", { name: "Access" });
    await expect(access).toContainText("Your address 127.0.0.1/32 is not allowed.");
    await access.getByRole("button", { name: "Add my address" }).click();
    await expect(access).toContainText("Your address 127.0.0.1/32 is allowed.");
    const source = home.getByRole("row").filter({ hasText: "127.0.0.1/32" });
    await expect(source).toContainText(/by /);
    await expect(async () => expect(await run(lines, env, "select 1;\n")).toMatchObject({ code: 0 })).toPass({ timeout: 20_000 });

    const [session, ended] = start(lines, env);
    session.stdin?.write("select 'in' || 'side';\n");
    await new Promise<void>((done) => session.stdout?.on("data", (text) => String(text).includes("inside") && done()));
    await home.getByRole("button", { name: "Remove 127.0.0.1/32" }).click();
    await expect(access).toContainText("is not allowed");
    await expect(async () => expect((await run(lines, env, "select 1;\n")).code).not.toBe(0)).toPass({ timeout: 20_000 });
    // The session that was open has lost its server.
    session.stdin?.end("select 'still here';\n");
    const { code, out } = await ended;
    expect(code).not.toBe(0);
    expect(out).not.toContain("still here");

    await settled(home, datastore);
    await openTab(home, datastore, /^Firewall/);
    const refused = home.getByRole("region", { name: "Recently refused" });
    await expect(refused).toContainText("127.0.0.1");
    await refused.getByRole("button", { name: "Allow 127.0.0.1" }).click();
    await expect(access).toContainText("is allowed");
});

test("r026 an address range is checked, with the reason, and kept as it was typed", async ({ home, datastore }) => {
    await openTab(home, datastore, /^Firewall/);
    const cidr = textbox(home, "Address range (CIDR)");
    for (const [typed, says] of [
        ["", "such as 1.2.3.4/32"],
        ["300.1.1.1/8", "300 is more than 255"],
        ["10.0.0.0/33", "from 0 to 32"],
        ["10.1.2.3/8", "Did you mean the network 10.0.0.0/8"],
        ["2001:db8::1/64", "2001:db8::/64"],
        ["example.org", "not an IPv4 or IPv6 address"],
        ["1.2.3.4/32; drop", "from 0 to 32"],
    ] as const) {
        await cidr.fill(typed);
        await textbox(home, "Description").fill("kept");
        await home.getByRole("button", { name: "+ Create trusted source" }).click();
        await expect(home.getByRole("alert")).toContainText(says);
        await expect(fieldError(home, "cidr")).toContainText(says);
        await expect(cidr).toHaveValue(typed);
        await expect(textbox(home, "Description")).toHaveValue("kept");
    }
    for (const good of ["192.0.2.0/24", "2001:db8::/48"]) {
        await cidr.fill(good);
        await textbox(home, "Description").fill(`office ${good}`);
        await home.getByRole("button", { name: "+ Create trusted source" }).click();
        await expect(home.getByRole("row").filter({ hasText: good })).toContainText(`office ${good}`);
        await settled(home, datastore);
        await openTab(home, datastore, /^Firewall/);
    }
});

test("r026 everybody needs typed consent", async ({ home, datastore }) => {
    await openTab(home, datastore, /^Firewall/);
    const add = async (consent: string) => {
        await textbox(home, "Address range (CIDR)").fill("0.0.0.0/0");
        const field = textbox(home, "Typed consent");
        if (!(await field.isVisible())) await home.getByText("Open to everyone (0.0.0.0/0").click();
        await field.fill(consent);
        await home.getByRole("button", { name: "+ Create trusted source" }).click();
    };
    for (const no of ["", "yes", "open to nobody"]) {
        await add(no);
        await expect(home.getByRole("alert")).toBeVisible();
        await expect(home.getByRole("row").filter({ hasText: "0.0.0.0/0" })).toHaveCount(0);
    }
    await add("open to everyone");
    await expect(home.getByRole("row").filter({ hasText: "0.0.0.0/0" })).toContainText("Everyone");
});
