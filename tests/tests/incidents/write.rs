//! The five incidents as they went, with nobody to stop them.

use super::host::{Recording, SECOND};

pub(super) const MB: u64 = 1_000_000;
const GB: u64 = 1000 * MB;

pub(super) const SSHD: u32 = 50;
pub(super) const KUBELET: u32 = 60;
pub(super) const MASTER: u32 = 100;
pub(super) const ROUTER: u32 = 101;
pub(super) const NEIGHBOUR: u32 = 70;
pub(super) const RPCBIND: u32 = 80;
pub(super) const SEARCH: u32 = 90;

fn daemons(host: &mut Recording) {
    host.start(SSHD, 1, "/usr/sbin/sshd", &["sshd"], "/system.slice/ssh.service", 5 * MB, 0);
    host.start(KUBELET, 1, "/usr/bin/kubelet", &["kubelet"], "/system.slice/kubelet.service", 80 * MB, 0);
    host.start(NEIGHBOUR, 1, "/usr/bin/neighbour", &["neighbour"], "/kubepods.slice/pod-b", 400 * MB, 0);
}

/// uWSGI's router maps 8.59 GB, one pointer per possible descriptor, and writes to all of it; its master starts it again.
pub(super) fn fd_table() -> Recording {
    const TABLE: u64 = 8_589_934_528;
    const POD: &str = "/kubepods.slice/pod-a";
    let mut host = Recording::new(16 * GB, 2 * GB);
    daemons(&mut host);
    host.start(RPCBIND, 1, "/usr/sbin/rpcbind", &["rpcbind"], "/system.slice/rpcbind.service", 6 * MB, 0);
    host.table(RPCBIND, TABLE, 0);
    host.start(MASTER, 1, "/usr/bin/uwsgi", &["uwsgi", "--http", ":80"], POD, 40 * MB, 0);
    for router in ROUTER..ROUTER + 6 {
        host.start(router, MASTER, "/usr/bin/uwsgi", &["uwsgi", "--http", ":80"], POD, 5 * MB, 40 * MB);
        host.table(router, TABLE, 0);
        for _ in 0..10 {
            host.grow(router, TABLE / 10);
            host.pass(SECOND / 5);
            host.table(router, TABLE, TABLE / 10);
        }
        host.end(router);
        host.pass(SECOND);
    }
    host
}

/// Three workers of a prefork server, 3 GB for all of them, and requests of 1 GB each.
pub(super) fn balloons() -> Recording {
    let mut host = Recording::new(4 * GB, GB / 2);
    daemons(&mut host);
    let gunicorn = ["/usr/bin/python3.11", "/srv/venv/bin/gunicorn", "app:wsgi"];
    host.start(MASTER, 1, "/usr/bin/python3.11", &gunicorn, "/system.slice/app.service", 60 * MB, 0);
    for worker in 1..=4 {
        host.start(
            MASTER + worker,
            MASTER,
            "/usr/bin/python3.11",
            &gunicorn,
            "/system.slice/app.service",
            40 * MB,
            60 * MB,
        );
    }
    for request in 0..4 {
        for _ in 0..20 {
            host.grow(MASTER + 1 + request, 50 * MB);
            host.pass(SECOND / 4);
        }
        host.pass(40 * SECOND);
    }
    host
}

/// Five workers, 150 requests in six minutes, 26 GB.
pub(super) fn pulp() -> Recording {
    let mut host = Recording::new(32 * GB, GB);
    daemons(&mut host);
    let gunicorn = ["/usr/bin/python3.11", "/usr/local/bin/gunicorn", "pulpcore.app.wsgi"];
    host.start(MASTER, 1, "/usr/bin/python3.11", &gunicorn, "/system.slice/pulp.service", 80 * MB, 0);
    for worker in 1..=5 {
        host.start(
            MASTER + worker,
            MASTER,
            "/usr/bin/python3.11",
            &gunicorn,
            "/system.slice/pulp.service",
            60 * MB,
            80 * MB,
        );
    }
    for request in 0..150 {
        host.grow(MASTER + 1 + request % 5, 168 * MB);
        host.pass(2400 * SECOND / 1000);
    }
    host
}

/// A search index in shared memory that the cgroup is not charged for: it grows until the host thrashes.
pub(super) fn index() -> Recording {
    let mut host = Recording::new(64 * GB, 2 * GB);
    daemons(&mut host);
    host.start(SEARCH, 1, "/usr/bin/searchd", &["searchd"], "/system.slice/search.service", 19 * GB, 0);
    for _ in 0..160 {
        host.grow(SEARCH, 250 * MB);
        host.pass(2 * SECOND);
    }
    host
}

/// Sixteen workers of uWSGI that grow with each request, and a host that fills slowly.
pub(super) fn respawn() -> Recording {
    let mut host = Recording::new(8 * GB, 3 * GB);
    daemons(&mut host);
    host.start(
        MASTER,
        1,
        "/usr/bin/uwsgi",
        &["uwsgi", "--ini", "app.ini"],
        "/system.slice/web.service",
        90 * MB,
        0,
    );
    for worker in 1..=16 {
        host.start(
            MASTER + worker,
            MASTER,
            "/usr/bin/uwsgi",
            &["uwsgi", "--ini", "app.ini"],
            "/system.slice/web.service",
            50 * MB,
            90 * MB,
        );
    }
    for tick in 0..100_u32 {
        host.grow(MASTER + 1 + tick * 7 % 16, 36 * MB);
        if tick % 10 == 0 {
            host.grow_other(50 * MB);
        }
        host.pass(2 * SECOND);
    }
    host
}
