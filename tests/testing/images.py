"""Images of services, built from Debian's packages, under the names that everyone knows.

They take the environment that the images of these names take, as far as our definitions use it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from container_kit.containers.engine import Engine
from container_kit.errors import NotFound
from container_kit.images import Image
from container_kit.testing.definitions import ready_made
from container_kit.testing.locks import locked
from tests.debian import CACHE, root_file_system

# The first are those of the tutorial, so that one root file system serves both.
_SMALL = ("postgresql", "python3-psycopg2", "python3-redis", "redis-server")
_LARGE = ("mariadb-server", "rabbitmq-server", "nginx-light")

POSTGRES = """\
#!/bin/sh
set -e
data=/var/lib/postgresql/data
if [ "$(id -u)" = 0 ]; then
    mkdir -p $data /run/postgresql
    chown postgres: $data /run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
if [ ! -s $data/PG_VERSION ]; then
    echo "$POSTGRES_PASSWORD" >/tmp/password
    initdb -D $data -U "$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust -E UTF8 --no-sync >/dev/null
    rm /tmp/password
    echo "CREATE DATABASE \\"$POSTGRES_DB\\"" | postgres --single -F -D $data template1 >/dev/null
    echo "host all all all scram-sha-256" >>$data/pg_hba.conf
fi
exec postgres -D $data -c listen_addresses='*' "$@"
"""
MARIADB = """\
#!/bin/sh
set -e
data=/var/lib/data
mkdir -p $data /run/mysqld
chown mysql: $data /run/mysqld
if [ ! -d $data/mysql ]; then
    mariadb-install-db --user=mysql --datadir=$data --skip-test-db >/dev/null
    cat >/tmp/init.sql <<END
CREATE DATABASE $MARIADB_DATABASE;
CREATE USER '$MARIADB_USER'@'%' IDENTIFIED BY '$MARIADB_PASSWORD';
GRANT ALL ON $MARIADB_DATABASE.* TO '$MARIADB_USER'@'%';
END
    set -- --init-file=/tmp/init.sql "$@"
fi
exec mariadbd --user=mysql --datadir=$data --bind-address=0.0.0.0 "$@"
"""
REDIS = """\
#!/bin/sh
exec redis-server --bind 0.0.0.0 --protected-mode no --save '' --daemonize no "$@"
"""
RABBITMQ = """\
#!/bin/sh
set -e
chown -R rabbitmq: /var/lib/rabbitmq /var/log/rabbitmq
cd /var/lib/rabbitmq
export HOME=/var/lib/rabbitmq RABBITMQ_LOGS=- RABBITMQ_LOOPBACK_USERS=none
echo 'loopback_users = none' >/etc/rabbitmq/rabbitmq.conf
exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups /usr/lib/rabbitmq/bin/rabbitmq-server "$@"
"""
NGINX = """\
#!/bin/sh
exec nginx -g 'daemon off; error_log stderr;' "$@"
"""
SERVICES = {
    "postgres": (_SMALL, POSTGRES),
    "redis": (_SMALL, REDIS),
    "nginx": (_LARGE, NGINX),
    "mariadb": (_LARGE, MARIADB),
    "rabbitmq": (_LARGE, RABBITMQ),
}


def add_service_images(engine: Engine, names: Iterable[str]) -> None:
    """Put the images of services into the store of *engine*, unless they are there."""
    for name in names:
        packages, script = SERVICES[name]
        tag = str(ready_made()[name].image)
        if not _is_there(engine, tag):
            base = _base(engine, packages)
            dockerfile = f'FROM {base}\nCOPY --chmod=755 start /start\nENTRYPOINT ["/start"]\n'
            Image.build({"Dockerfile": dockerfile, "start": script}, tag=tag, engine=engine)


def _base(engine: Engine, packages: tuple[str, ...]) -> str:
    tag = f"debian-{'-'.join(packages)}"
    if not _is_there(engine, tag):
        Image.from_rootfs(root_file_system(*packages), tag=tag, engine=engine)
    return tag


def _is_there(engine: Engine, tag: str) -> bool:
    try:
        Image.get(tag, engine=engine)
    except NotFound:
        return False
    return True


def stocked_root() -> Path:
    """A root directory that is kept from one run of the tests to the next, until a script changes."""
    about = hashlib.sha256(repr((SERVICES, _version_of_store())).encode()).hexdigest()[:12]
    root = CACHE / f"root-{about}"
    CACHE.mkdir(parents=True, exist_ok=True)
    return root


def _version_of_store() -> str:
    from container_kit.store import database

    return hashlib.sha256(Path(database.__file__).read_bytes()).hexdigest()


def service_engine(names: Iterable[str]) -> Engine:
    """An engine of that root, with the images of services."""
    root = stocked_root()
    with locked(f"{root}.lock"):
        engine = Engine(os.fspath(root))
        try:
            add_service_images(engine, names)
        except BaseException:
            engine.close()
            raise
    return engine
