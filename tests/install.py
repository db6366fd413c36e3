"""Installs the Debian packages that the tests need, where they are missing. `python -m tests.install [PACKAGE …]`"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

#: what is looked for -> the package that brings it
NEEDED = {
    "chromium": "chromium",
    "firefox-esr": "firefox-esr",
    "redis-server": "redis-server",
    "turnserver": "coturn",
    "nginx": "nginx-light",
    "initdb": "postgresql",
    "pdftoppm": "poppler-utils",
    "ip": "iproute2",
    "nft": "nftables",
}


def found(program: str) -> bool:
    if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"):
        return True
    return program == "initdb" and any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def main() -> None:
    missing = sys.argv[1:] or [package for program, package in NEEDED.items() if not found(program)]
    if not missing:
        return
    print("Installing", " ".join(missing), "...", flush=True)
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run([*as_root, "apt-get", "update", "-qq"], check=True, env=environment)
        subprocess.run(
            [*as_root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
    except (OSError, subprocess.CalledProcessError):
        sys.exit(f"The tests need these packages; as root run: apt-get install {' '.join(missing)}")


if __name__ == "__main__":
    main()
