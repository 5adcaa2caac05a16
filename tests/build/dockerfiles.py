"""Dockerfiles that cover every instruction and flag, to be built against buildah or a listing.

The context and the base image that they are made for are those of `test_against_buildah`.
"""

from __future__ import annotations

__all__ = ["EQUAL", "EVERY_TIME", "EXPECTED"]

# Each is a Dockerfile after "FROM base:1".
EQUAL = {
    "copy-file": "COPY one.txt /x",
    "copy-file-slash": "COPY one.txt /new/place/",
    "copy-into-directory": "COPY one.txt /opt/there",
    "copy-over-file": "COPY one.txt /opt/there/old",
    "copy-many": "COPY one.txt two.txt /new/",
    "copy-many-deep": "COPY one.txt dir/sub/b /new/deep/er/",
    "copy-directory-slash": "COPY dir/ /new/",
    "copy-directory-over": "COPY dir /opt/there",
    "copy-directory-in-directory": "COPY dir/sub /opt/there/sub",
    "copy-two-directories": "COPY dir2/a dir/sub/deep /new/",
    "copy-wildcard": "COPY *.txt /new/",
    "copy-question": "COPY ???.txt /new/",
    "copy-class": "COPY many/[xy]1.? /new/",
    "copy-class-negated": "COPY many/[^y]*.c /new/",
    "copy-wildcard-directory": "COPY many/*.c /new/",
    "copy-wildcard-hidden": "COPY .h* /new/",
    "copy-json": 'COPY ["with space.txt", "/new dir/"]',
    "copy-quoted-variable": 'ENV n="with space"\nCOPY ["$n.txt", "/a/"]',
    "copy-unicode": "COPY ünïcode /ü/",
    "copy-link-followed": "COPY to-one /new",
    "copy-link-to-directory": "COPY to-dir/sub /new/",
    "copy-empty": "COPY empty /new",
    "copy-secret-mode": "COPY secret script.sh /new/",
    "copy-relative": "WORKDIR /work\nCOPY one.txt here",
    "copy-dot": "WORKDIR /work\nCOPY one.txt .",
    "copy-dot-dot": "WORKDIR /work/deep\nCOPY one.txt ../x",
    "copy-to-link": "COPY one.txt /lib/",
    "copy-to-link-deep": "COPY one.txt /lib/more/",
    "copy-to-absolute-link": "COPY one.txt /data/x/y",
    "copy-clean-path": "COPY ./dir/../one.txt /./new//place/../x",
    "copy-chown-numbers": "COPY --chown=5:6 one.txt /new/x",
    "copy-chown-one-number": "COPY --chown=77 one.txt /new/x",
    "copy-chown-name": "COPY --chown=app one.txt /new/x",
    "copy-chown-names": "COPY --chown=app:staff one.txt /x",
    "copy-chown-mixed": "COPY --chown=1:web one.txt /x",
    "copy-chown-directory": "COPY --chown=app:app dir/ /opt/there/",
    "copy-chmod": "COPY --chmod=640 one.txt script.sh /new/",
    "copy-chmod-and-chown": "COPY --chmod=0711 --chown=3 one.txt /x",
    "copy-from-stage": "RUN echo 1 > /m && chown 9:10 /m && chmod 604 /m\nFROM base:1\nCOPY --from=0 /m /x",
    "copy-from-named": "RUN echo hi > /made\nFROM base:1\nCOPY --from=first /made /etc/passwd /new/",
    "copy-from-link": "RUN mkdir /d && echo 1 > /d/f && ln -s /d /l\nFROM base:1\nCOPY --from=0 /l/f /x",
    "copy-from-image": "COPY --from=base:1 /etc/group /copied",
    "copy-from-chown": "RUN echo 1 > /m && chown 9:10 /m\nFROM base:1\nCOPY --from=0 --chown=app /m /x",
    "copy-variable": "ARG F=one\nENV D=/to\nCOPY ${F}.txt $D/${NO:-x}/",
    "add-file": "ADD one.txt /new/",
    "add-plain-archive": "ADD a.tar /new/",
    "add-gzip": "ADD a.tar.gz /new",
    "add-bzip2": "ADD a.tar.bz2 /new/",
    "add-xz": "ADD a.tar.xz /opt/there/",
    "add-no-archive": "ADD no.tar /new/",
    "add-directory": "ADD many/ /new/",
    "add-wildcard": "ADD *.md /new/",
    "copy-archive": "COPY a.tar.gz /new/",
    "run-shell": "RUN echo $FROM_BASE > /x && chmod 600 /x",
    "run-exec": 'RUN ["/bin/sh", "-c", "echo a > /x"]',
    "run-user": "RUN mkdir -m 777 /w\nUSER app\nRUN id > /w/id; touch /w/x",
    "run-user-group": "RUN mkdir -m 777 /w\nUSER 12:34\nRUN touch /w/x",
    "run-workdir": "WORKDIR /w\nRUN pwd > here",
    "run-removes": "RUN rm -r /opt/there /lib && mkdir /lib && echo x > /lib/y",
    "run-links": "RUN mkdir /n && cd /n && echo 1 > a && ln a b && ln -s a c && mkfifo p",
    "run-args": "ARG A=1\nARG B\nRUN echo $A-$B > /x",
    "run-continued": "RUN echo a \\\n  # remark\n  b > /x && \\\n  true",
    "shell": 'SHELL ["/bin/sh", "-xc"]\nRUN echo $- | grep -c x > /x',
    "env": "ENV a=1 b=\"2 3\" c='$a' d=$FROM_BASE e=\\$a\nENV f=$a-$b\nENV old the rest\n"
    "RUN echo $a/$b/$c/$d/$e/$f/$old > /x",
    "env-modifiers": "ENV a=1\nENV b=${a:+x} c=${no:-y} d=${no:+z} e=${a:-w}",
    "arg-then-env": "ARG v=1\nENV v=$v.2\nRUN echo $v > /x",
    "workdir-chain": "WORKDIR /a\nWORKDIR b\nWORKDIR ../c\nENV d=x\nWORKDIR $d/y",
    "workdir-user": "USER app\nWORKDIR /home/app/new",
    "workdir-link": "WORKDIR /data/w\nRUN touch x",
    "label": "LABEL a=b \"c d\"=\"e f\" g='h'\nLABEL a=c i=$FROM_BASE",
    "expose": "EXPOSE 80 90/udp 100/tcp\nENV p=7000\nEXPOSE $p",
    "volume": "VOLUME /var/data /opt/there",
    "user": "ENV u=web\nUSER $u:staff",
    "cmd-exec": 'CMD ["a", "b c"]',
    "cmd-shell": "CMD a $b",
    "cmd-last": 'CMD ["a"]\nCMD ["b"]',
    "entrypoint": 'ENTRYPOINT ["/bin/echo"]\nCMD ["x"]',
    "entrypoint-drops-cmd": 'ENTRYPOINT ["/bin/echo"]',
    "entrypoint-shell": "ENTRYPOINT echo $HOME",
    "stopsignal": "ENV s=SIGINT\nSTOPSIGNAL $s",
    "healthcheck": "HEALTHCHECK --interval=5s --timeout=1m --start-period=2s --retries=3 CMD test -e /x",
    "healthcheck-exec": 'HEALTHCHECK CMD ["/bin/true"]',
    "healthcheck-none": "HEALTHCHECK NONE",
    "onbuild": "ONBUILD COPY one.txt /x\nONBUILD RUN echo $A",
    "stages": "RUN echo 1 > /a\nFROM first AS second\nRUN echo 2 > /b\nFROM second\nRUN cat /a /b > /c",
    "mount-tmpfs": "RUN --mount=type=tmpfs,target=/t touch /t/x && ls /t > /seen",
    "mount-bind": "RUN --mount=type=bind,source=dir,target=/m cat /m/sub/b > /x",
    "mount-bind-from": "RUN echo 1 > /f\nFROM base:1\n"
    "RUN --mount=type=bind,from=first,source=/f,target=/m cat /m > /x",
    "comments": "# one\n\n   # two\n  RUN echo '# no comment' > /x # but arguments",
    "case": "run echo a > /x\nEnv a=b\nworkDir /w",
}  # fmt: skip


# These run every time; the others, of the same kinds, when trials do.
EVERY_TIME = frozenset(
    [
        "copy-many-deep", "copy-directory-over", "copy-wildcard", "copy-wildcard-directory",
        "copy-to-link-deep", "copy-chown-names", "copy-from-link", "add-gzip", "run-user", "env",
        "entrypoint", "healthcheck", "workdir-chain", "mount-bind-from",
    ]
)  # fmt: skip


# What buildah 1.28 does not know or does otherwise: Dockerfile, and what is in /new then.
EXPECTED = {
    "heredoc": (
        "ENV a=1\nCOPY <<one <<-'two' /new/\n$a '$a'\none\n\t$a\n\ttwo\n"
        "RUN cat /new/one /new/two > /new/all",
        "-rw-r--r-- 0:0 new/all\n-rw-r--r-- 0:0 new/one\n-rw-r--r-- 0:0 new/two",
    ),
    "heredoc-chmod": (
        "COPY --chmod=755 --chown=app <<run.sh /new/run.sh\n#!/bin/sh\nrun.sh",
        "-rwxr-xr-x 1000:1001 new/run.sh",
    ),
    "run-heredoc": (
        "RUN <<E\nmkdir /new\ntouch /new/$FROM_BASE\nE\nRUN <<'E' cat > /new/two\nx\nE",
        "-rw-r--r-- 0:0 new/two\n-rw-r--r-- 0:0 new/yes",
    ),
    "link": ("COPY --link one.txt /new/deep/", "drwxr-xr-x 0:0 new/deep\n-rw-r--r-- 0:0 new/deep/one.txt"),
    "link-chown": ("COPY --link --chown=app dir2 /new/d", "drwxr-xr-x 1000:1001 new/d\n"
                   "-rw-r--r-- 1000:1001 new/d/a\n-rw-r--r-- 1000:1001 new/d/z"),
    "parents": (
        "COPY --parents many/in/x3.c dir/s*/b /new/",
        "drwxr-xr-x 0:0 new/dir\ndrwx--x--x 0:0 new/dir/sub\n-rw-r--r-- 0:0 new/dir/sub/b\n"
        "drwxr-xr-x 0:0 new/many\ndrwxr-xr-x 0:0 new/many/in\n-rw-r--r-- 0:0 new/many/in/x3.c",
    ),
    "parents-pivot": (
        "COPY --parents ./many/./in **/x2.c /new",
        "drwxr-xr-x 0:0 new/in\n-rw-r--r-- 0:0 new/in/x3.c\ndrwxr-xr-x 0:0 new/many\n"
        "-rw-r--r-- 0:0 new/many/x2.c",
    ),
    "exclude": (
        "COPY --exclude=*.c --exclude=**/in many /new/",
        "-rw-r--r-- 0:0 new/y1.h",
    ),
    "exclude-take-back": (
        "COPY --exclude=**/*.c --exclude=!in/x3.c many /new",
        "drwxr-xr-x 0:0 new/in\n-rw-r--r-- 0:0 new/in/x3.c\n-rw-r--r-- 0:0 new/y1.h",
    ),
    "exclude-of-pattern": ("COPY --exclude=two.* t*.txt one.txt /new/", "-rw-r--r-- 0:0 new/one.txt"),
    "symbolic-chmod": (
        "COPY --chmod=u=rwX,go=r dir2 script.sh secret /new/",
        "-rw-r--r-- 0:0 new/a\n-rwxr--r-- 0:0 new/script.sh\n-rw-r--r-- 0:0 new/secret\n-rw-r--r-- 0:0 new/z",
    ),
    "bracket-name": ("COPY brackets[[]1] /new/", "-rw-r--r-- 0:0 new/brackets[1]"),
    "not-unpacked": ("ADD --unpack=false a.tar.gz /new/", "-rw-r--r-- 0:0 new/a.tar.gz"),
    "unpacked": (
        "ADD --chown=app a.tar.gz /new/",
        "drwxr-xr-x 0:0 new/packed\ndrwxr-x--- 7:8 new/packed/dir2\n-rw-r--r-- 7:8 new/packed/dir2/a\n"
        "-rw-r--r-- 7:8 new/packed/dir2/z\n-rw-r--r-- 7:8 new/packed/one.txt\n"
        "lrwxrwxrwx 7:8 new/packed/to-one",
    ),
    "nothing-matches": ("COPY one.txt no-such-*.txt /new/", "-rw-r--r-- 0:0 new/one.txt"),
    "links-kept": (
        "COPY --exclude=sub dir /new/",
        "-rw-r--r-- 0:0 new/.hidden\n-rw-r--r-- 0:0 new/a\n-rw-r--r-- 0:0 new/a-too\nlrwxrwxrwx 0:0 new/up",
    ),
    "onbuild-fires": (
        "ONBUILD COPY one.txt /new/\nFROM first",
        "-rw-r--r-- 0:0 new/one.txt",
    ),
}  # fmt: skip
