"""Names the files of this machine's packages that a minimal Debian tree with apt and a C compiler consists of.

One path a line, relative to /, parents before children: what `tar --no-recursion --files-from` takes. The set is what
debootstrap would install (all essential packages and apt) and gcc, with everything they depend on; documentation and
locales are left out.
"""

import os
import re
import subprocess

LEFT_OUT = re.compile(r"/usr/share/(doc|man|locale|info|i18n|perl|lintian|bug)/|/usr/lib/[^/]+/(perl|gconv)/")
FORMAT = "${Package}\t${Essential}\t${Status}\t${Pre-Depends}, ${Depends}\n"

needs, wanted = {}, ["apt", "gcc", "libc6-dev"]
for row in subprocess.run(["dpkg-query", "-W", "-f", FORMAT], capture_output=True, text=True, check=True).stdout.splitlines():
    package, essential, status, depends = row.split("\t")
    if status.endswith("ok installed"):
        needs[package] = [re.sub(r"[ (:].*", "", part.strip()) for part in re.split(r"[,|]", depends) if part.strip()]
        if essential == "yes":
            wanted.append(package)

chosen = set()
while wanted:
    package = wanted.pop()
    if package in needs and package not in chosen:
        chosen.add(package)
        wanted += needs[package]

listed = subprocess.run(["dpkg", "-L", *sorted(chosen)], capture_output=True, text=True, check=True).stdout.splitlines()
paths = {"/bin", "/lib", "/lib64", "/sbin", "/tmp", "/etc/passwd", "/etc/group"}
paths |= {path for path in listed if path.startswith("/") and path != "/." and not LEFT_OUT.search(path + "/")}
alternatives = "/etc/alternatives"
paths |= {alternatives, *(f"{alternatives}/{name}" for name in os.listdir(alternatives))}
# A package's /bin/sh lies in /usr/bin where /bin is a link.
canonical = {os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) for path in paths}
for path in sorted(canonical, key=lambda path: (path.count("/"), path)):
    if os.path.lexists(path):
        print(path[1:])
