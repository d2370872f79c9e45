/** Errors of images and kernels: what each code means, and what fixes it. */
import type { CodeTexts } from "./code-texts.js";

/** Images, kernels and registries. */
export const imageCodes = {
  image_missing: ["the image is not present, or not ready yet", "`banger image pull`"],
  image_in_use: ["VMs use it as the base of their disks", "delete those VMs first"],
  image_build_failed: [
    "the build failed; the message has the lines of the first failure",
    "fix what they name; `banger doctor`",
  ],
  mirror_unknown: [
    "the host's apt has no mirror or no package lists yet, or the mirror does not answer",
    "`apt-get update`, or `mirror` in the configuration",
  ],
  mirror_unreachable: [
    "the host's apt has no mirror or no package lists yet, or the mirror does not answer",
    "`apt-get update`, or `mirror` in the configuration",
  ],
  mirror_refused: [
    "the mirror does not have a release or a package (404), or denies access to it (401, 403)",
    "`apt-get update`, or `mirror` in the configuration",
  ],
  mounted_below: [
    "something is mounted inside a directory to be removed, and its contents would be lost",
    "unmount it with the command in the hint",
  ],
  proxy_invalid: [
    "`http_proxy`, `https_proxy`, `all_proxy` or the configured `proxy` is not an HTTP proxy",
    "the hint shows the form; SOCKS is not supported",
  ],
  namespaces_unusable: ["this host does not let banger create namespaces", "change the settings in the hint"],
  registry_denied: ["the registry requires a login, or the image does not exist", "`docker login`"],
  registry_busy: ["the registry limits requests from this address", "log in, or wait"],
  registry_unreachable: [
    "the registry does not answer",
    "`curl` as in the hint; a proxy or mirror may be needed",
  ],
  platform_missing: ["the image is not available for x86_64", "use another tag"],
  rootfs_unreadable: [
    "the /root directory of a root disk cannot be read",
    "`e2fsck -f -p FILE`, or `image register --work-seed`",
  ],
  image_unbootable: ["the image has neither an init nor a shell", "use a distribution's image"],
  image_not_found: ["no image has that name", "`banger image list`"],
  image_unknown: ["the catalog has no such image", "`banger image list --available`"],
  kernel_not_found: ["no kernel has that name", "`banger kernel list`"],
  kernel_unknown: ["the catalog has no such kernel", "`banger kernel list --available`"],
  kernel_unusable: ["the kernel cannot be used; the message says what is missing", "use another kernel"],
  image_deleted: ["the image was deleted while it was being built", "pull it again"],
  image_differs: ["the image is already present, built with other options", "`--name`, or delete it first"],
  image_managed: ["the image is already in managed storage", "nothing"],
  image_outdated: ["this version's catalog has a newer image with that name", "pull it again by name"],
  image_damaged: ["files of the image are missing or changed", "`banger image pull` of its source"],
  image_corrupt: ["files of the image are missing or changed", "`banger image pull` of its source"],
  image_malformed: ["the registry did not send a valid image", "use another tag"],
  image_unsupported: ["banger does not support this kind of image", "use another tag"],
  image_too_large: ["a root disk is at most 1 TiB", "use a smaller image"],
  options_unfit: ["these options do not apply to a catalog image", "leave them out"],
  reference_invalid: ["not a valid image reference", "`registry/repository:tag`"],
  file_unusable: [
    "a file or directory named on the command line cannot be used",
    "use `ls -ld` as in the hint",
  ],
  bundle_unreachable: ["a prebuilt image could not be downloaded", "try again later"],
  bundle_invalid: ["a prebuilt image does not match the catalog", "try again later"],
  catalog_invalid: ["banger's own catalog is damaged", "install banger again"],
  blob_corrupt: [
    "a download does not match its digest",
    "try again; the registry or a proxy may be altering it",
  ],
  blob_truncated: ["a download ended early", "try again"],
  layer_refused: [
    "a layer has entries that would lead out of the image",
    "`banger image cache prune`, then pull again",
  ],
  registry_invalid: ["a registry or mirror in the configuration is invalid", "[config.md](config.md)"],
  registry_failed: ["the registry returned an error", "try again later"],
  registry_protocol: ["the registry's answer does not follow the protocol", "`curl` as in the hint"],
  auth_file_invalid: ["`~/.docker/config.json` is not a valid docker configuration", "`docker login`"],
  auth_file_unreadable: ["`~/.docker/config.json` cannot be read", "`ls -l` shows the owner"],
  credential_helper_failed: ["docker's credential helper failed", "run it as in the hint"],
  cache_in_use: ["an image is being pulled", "try again afterwards"],
  mirror_untrusted: [
    "the package lists are not signed by a key this host trusts",
    "the host's own apt has the same problem; fix that first",
  ],
  need_missing: ["a recipe needs something that is missing", "`banger doctor`"],
} as const satisfies CodeTexts;
