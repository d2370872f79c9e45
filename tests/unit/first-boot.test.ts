/** The script that makes machines of container images: which distribution it sees, and what it installs there. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { planBoot } from "../../src/oci/boot-plan.js";
import { convert } from "../images/convert.js";
import { type MadeEntry, tar } from "../images/tar-maker.js";

const script = fileURLToPath(new URL("../../../guest-agent/first-boot", import.meta.url));
let directory: string;

beforeEach(() => {
  directory = mkdtempSync("/tmp/banger-first-boot-");
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** What the distributions themselves say, shortened to the lines that could matter. */
const releases: Record<string, [lines: string[], family: string]> = {
  debian: [['NAME="Debian GNU/Linux"', 'VERSION="12 (bookworm)"', "ID=debian"], "debian"],
  ubuntu: [['NAME="Ubuntu"', 'VERSION_ID="24.04"', "ID=ubuntu", "ID_LIKE=debian"], "debian"],
  mint: [['NAME="Linux Mint"', "ID=linuxmint", 'ID_LIKE="ubuntu debian"'], "debian"],
  kali: [['NAME="Kali GNU/Linux"', "ID=kali", "ID_LIKE=debian"], "debian"],
  alpine: [['NAME="Alpine Linux"', "ID=alpine", "VERSION_ID=3.20.3"], "alpine"],
  postmarketos: [['NAME="postmarketOS"', 'ID="postmarketos"', 'ID_LIKE="alpine"'], "alpine"],
  fedora: [['NAME="Fedora Linux"', "ID=fedora", 'VARIANT="Container Image"'], "fedora"],
  rocky: [['NAME="Rocky Linux"', 'ID="rocky"', 'ID_LIKE="rhel centos fedora"'], "fedora"],
  amazon: [['NAME="Amazon Linux"', 'ID="amzn"', 'ID_LIKE="fedora"', 'VERSION_ID="2023"'], "fedora"],
  oracle: [['NAME="Oracle Linux Server"', 'ID="ol"', 'ID_LIKE="fedora"'], "fedora"],
  arch: [['NAME="Arch Linux"', "ID=arch", "BUILD_ID=rolling"], "arch"],
  manjaro: [['NAME="Manjaro Linux"', "ID=manjaro", "ID_LIKE=arch"], "arch"],
  tumbleweed: [['ID="opensuse-tumbleweed"', 'ID_LIKE="opensuse suse"'], "opensuse"],
  leap: [['NAME="openSUSE Leap"', 'ID="opensuse-leap"', 'ID_LIKE="suse opensuse"'], "opensuse"],
  sles: [['NAME="SLES"', 'VERSION_ID="12.5"', 'ID="sles"'], "opensuse"],
};

const installs: Record<string, [tools: string[], commands: string[]]> = {
  debian: [
    ["apt-get"],
    ["apt-get -q update", "apt-get -q install -y --no-install-recommends systemd-sysv kmod openssh-server"],
  ],
  alpine: [["apk"], ["apk add --no-progress openrc openssh-server"]],
  fedora: [["microdnf", "yum"], ["microdnf -y install systemd openssh-server"]],
  arch: [["pacman"], ["pacman -Syu --noconfirm --needed systemd-sysvcompat openssh"]],
  opensuse: [
    ["zypper"],
    [
      "zypper --non-interactive --gpg-auto-import-keys install --no-recommends systemd-sysvinit openssh-server",
    ],
  ],
};

function releaseFile(text: string): string {
  writeFileSync(`${directory}/os-release`, text);
  return `${directory}/os-release`;
}

describe("the first boot", () => {
  for (const [name, [lines, family]] of Object.entries(releases))
    test(`knows ${name} and installs by its own means`, () => {
      const file = releaseFile(`${lines.join("\n")}\n`);
      assert.equal(execFileSync("sh", [script, "--family", file], { encoding: "utf8" }).trim(), family);
      const [tools, commands] = installs[family] as [string[], string[]];
      mkdirSync(`${directory}/bin`);
      for (const tool of tools) {
        writeFileSync(`${directory}/bin/${tool}`, `#!/bin/sh\necho "${tool} $*"\n`);
        chmodSync(`${directory}/bin/${tool}`, 0o755);
      }
      const env = { PATH: `${directory}/bin` };
      const said = execFileSync("/bin/sh", [script, "--install", file], { env, encoding: "utf8" });
      assert.deepEqual(said.trim().split("\n"), commands);
    });

  test("says that it does not know others", () => {
    for (const text of ['NAME="Wolfi"\nID=wolfi\n', "", "ID_LIKE=\n"])
      assert.notEqual(spawnSync("sh", [script, "--family", releaseFile(text)]).status, 0);
    assert.notEqual(spawnSync("sh", [script, "--family", `${directory}/none`]).status, 0);
  });

  test("makes sshd read the drop-in, once and first", () => {
    mkdirSync(`${directory}/etc/ssh`, { recursive: true });
    const config = `${directory}/etc/ssh/sshd_config`;
    writeFileSync(config, "PermitRootLogin yes\n#Include /etc/ssh/sshd_config.d/*.conf\n");
    for (let round = 0; round < 2; round++) execFileSync("sh", [script, "--include", directory]);
    const lines = readFileSync(config, "utf8").split("\n");
    assert.equal(lines[0], "Include /etc/ssh/sshd_config.d/*.conf");
    assert.equal(lines.filter((line) => line.startsWith("Include")).length, 1);
    assert.equal(lines[1], "PermitRootLogin yes");
  });
});

describe("the plan for a container's image", () => {
  const program = (name: string, data: string): MadeEntry => ({ name, data, mode: 0o755 });
  const plan = async (entries: MadeEntry[], workingDirectory = "") => {
    let made: ReturnType<typeof planBoot> | undefined;
    await convert(directory, [tar(entries)], {
      extraEntries: (view) => {
        made = planBoot(view, { firstBoot: Buffer.from("script"), guestFiles, workingDirectory });
        return made.entries;
      },
    });
    rmSync(`${directory}/root.ext4`);
    return made as ReturnType<typeof planBoot>;
  };
  const [dropIn, tmpfiles] = ["etc/ssh/sshd_config.d/10-banger.conf", "etc/tmpfiles.d/tmp.conf"] as const;
  const guestFiles = [dropIn, tmpfiles].map((path) => ({ path: `/${path}`, content: "ours" }));
  const shell = program("bin/sh", "shell");

  test("brings the files of every guest; an image keeps its own, but not those of banger's name", async () => {
    const paths = async (...own: MadeEntry[]) =>
      (await plan([shell, ...own])).entries.map(({ path }) => path);
    for (const { path } of guestFiles) assert.ok((await paths()).includes(path), path);
    const kept = await paths({ name: tmpfiles, data: "theirs" }, { name: dropIn, data: "theirs" });
    assert.deepEqual([kept.includes(`/${tmpfiles}`), kept.includes(`/${dropIn}`)], [false, true]);
  });

  test("makes the directory that its containers run in, where the image only names it", async () => {
    const made = async (workingDirectory: string, ...own: MadeEntry[]) =>
      (await plan([shell, ...own], workingDirectory)).entries
        .filter(({ type }) => type === "directory")
        .map(({ path }) => path);
    assert.deepEqual(await made("/srv/app"), ["/srv/app"]);
    assert.deepEqual(await made("/srv", { name: "srv/", type: "5" }), []);
    assert.deepEqual(await made("srv"), [], "a path that is none");
  });

  test("keeps an init of its own, also behind links", async () => {
    const systemd = program("usr/lib/systemd/systemd", "systemd");
    const init: MadeEntry = { name: "sbin/init", type: "2", link: "../usr/lib/systemd/systemd" };
    const made = await plan([shell, systemd, init]);
    assert.equal(made.hasInit, true);
    assert.equal(made.bootArguments, "systemd.getty_auto=no");
    assert.ok(!made.entries.some(({ path }) => path.includes("first-boot")));
  });

  test("has first-boot in the place of none, and of busybox without its scripts", async () => {
    const busybox = program("bin/busybox", "busybox");
    const applets: MadeEntry[] = [
      { name: "bin/sh", type: "2", link: "/bin/busybox" },
      { name: "sbin/init", type: "2", link: "/bin/busybox" },
    ];
    for (const entries of [[shell], [busybox, ...applets]]) {
      const made = await plan(entries);
      assert.equal(made.bootArguments, "banger.init=/usr/lib/banger/first-boot systemd.getty_auto=no");
      assert.ok(made.entries.some(({ path }) => path === "/usr/lib/banger/first-boot"));
      assert.ok(made.entries.some(({ path }) => path === "/etc/machine-id"));
    }
    assert.equal((await plan([busybox, ...applets, program("sbin/openrc", "openrc")])).hasInit, true);
  });

  test("refuses an image in which nothing can run", () =>
    assert.rejects(plan([program("hello", "hello")]), { code: "image_unbootable" }));
});
