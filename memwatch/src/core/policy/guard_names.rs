//! Programs whose end takes a host, or the operator's way into it, with them.
//!
//! A program is known by its executable's file name *and* by a folder that only the host's administrator writes to: a copy of
//! one's own named `sshd` gains nothing, nor does a process by the name it gives itself. Where the file
//! itself was looked at (`enrich/guarded_files.rs`), that decides. Inside a container the folder is the
//! image's and the program not the host's: nothing there is guarded by its program.

use super::who::Who;

/// Folders of programs that the administrator installed. The last ones: Nix and Guix; snaps; k3s and RKE2; nodes of GKE.
const FOLDERS: [&str; 12] = [
    "/usr/",
    "/bin/",
    "/sbin/",
    "/lib/",
    "/lib64/",
    "/opt/",
    "/nix/store/",
    "/gnu/store/",
    "/snap/",
    "/var/lib/snapd/",
    "/var/lib/rancher/",
    "/home/kubernetes/bin/",
];

/// Each kind of program, and its file names; `*` at the end stands for any text.
const PROGRAMS: [(&str, &[&str]); 7] = [
    (
        "the service manager",
        &["systemd", "systemd-*", "init", "openrc-init", "runsvdir", "s6-svscan", "udevadm", "elogind*"],
    ),
    ("the way in", &["sshd", "sshd-session", "sshd-auth", "dropbear", "agetty", "login"]),
    ("the message bus", &["dbus-daemon", "dbus-broker", "dbus-broker-launch"]),
    ("the Kubernetes node", &["kubelet", "hyperkube", "k3s", "k3s-*", "rke2", "kube-proxy"]),
    (
        "the container runtime",
        &[
            "containerd",
            "containerd-shim*",
            "dockerd",
            "docker-proxy",
            "docker-init",
            "cri-dockerd",
            "crio",
            "conmon",
            "conmonrs",
            "runc",
            "crun",
            "youki",
            "podman",
            "lxc-start",
            "lxcfs",
            "lxd",
            "incusd",
        ],
    ),
    ("the network", &["NetworkManager", "wpa_supplicant", "dhclient", "dhcpcd", "connmand"]),
    ("the log", &["rsyslogd", "syslog-ng", "auditd"]),
];

/// Units of which every process is one of these programs; `*` at the end stands for any text.
const UNITS: [&str; 30] = [
    "init.scope",
    "systemd-journald.service",
    "systemd-logind.service",
    "systemd-machined.service",
    "systemd-networkd.service",
    "systemd-oomd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-udevd.service",
    "systemd-userdbd.service",
    "ssh.service",
    "sshd.service",
    "ssh@*",
    "sshd@*",
    "dropbear.service",
    "getty@*",
    "serial-getty@*",
    "dbus.service",
    "dbus-broker.service",
    "kubelet.service",
    "kube-proxy.service",
    "containerd.service",
    "docker.service",
    "cri-docker.service",
    "crio.service",
    "NetworkManager.service",
    "wpa_supplicant.service",
    "rsyslog.service",
    "syslog-ng.service",
    "auditd.service",
];

/// Whether all that a unit of this name runs is guarded by its program.
#[must_use]
pub fn is_guarded_unit(name: &str) -> bool {
    UNITS.iter().any(|unit| is_named(unit, name))
}

fn is_named(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Folders in which guarded programs lie, each with its slash; those of packages with a folder of their own are left out.
const INSTALLED: [&str; 13] = [
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/local/bin/",
    "/usr/local/sbin/",
    "/usr/lib/systemd/",
    "/usr/lib/openssh/",
    "/usr/lib/elogind/",
    "/usr/libexec/",
    "/usr/libexec/openssh/",
    "/bin/",
    "/sbin/",
    "/lib/systemd/",
    "/home/kubernetes/bin/",
];

/// Folders to look for the files of guarded programs in.
#[must_use]
pub const fn guarded_folders() -> &'static [&'static str] {
    &INSTALLED
}

/// What a guarded program is called that runs from another path than its own.
pub const MOVED: &str = "a guarded program under another path";

/// Why a process is guarded by its program: what the program is to its host. `None`: it is not.
#[must_use]
pub fn guarded_program(who: &Who) -> Option<&'static str> {
    if who.container.is_some() {
        return None;
    }
    match who.runs_guarded {
        Some(true) => Some(guarded_path(who.exe.as_deref()?).unwrap_or(MOVED)),
        Some(false) => None,
        None => guarded_path(who.exe.as_deref()?),
    }
}

/// What the program of this path, as `/proc/PID/exe` has it, is to a host on which it runs outside of containers.
#[must_use]
pub fn guarded_path(exe: &str) -> Option<&'static str> {
    let path = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    let (_, name) = path.rsplit_once('/')?;
    if !FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        return None;
    }
    let has_name = |names: &[&str]| names.iter().any(|pattern| is_named(pattern, name));
    PROGRAMS.iter().find(|(_, names)| has_name(names)).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_the_host_are_known() {
        for exe in [
            "/usr/sbin/sshd",
            "/usr/sbin/sshd (deleted)",
            "/usr/lib/systemd/systemd",
            "/lib/systemd/systemd-journald",
            "/usr/bin/containerd-shim-runc-v2",
            "/usr/bin/udevadm",
            "/opt/bin/kubelet",
            "/home/kubernetes/bin/kubelet",
            "/nix/store/0a-dbus/bin/dbus-daemon",
        ] {
            assert!(guarded_path(exe).is_some(), "{exe}");
        }
    }

    #[test]
    fn a_name_alone_gains_nothing() {
        for exe in [
            "/tmp/sshd",
            "/home/eve/usr/sbin/sshd",
            "/home/eve/systemd-x",
            "sshd",
            "",
            "/",
            "/usr/bin/python3",
            "/usr/bin/sshd2",
            "/usr/bin/system",
            "/usrx/sshd",
        ] {
            assert_eq!(guarded_path(exe), None, "{exe}");
        }
    }

    #[test]
    fn what_a_process_calls_itself_does_not_count() {
        let mut who = Who {
            comm: "sshd".into(),
            exe: Some("/usr/bin/python3".into()),
            args: vec!["/usr/sbin/sshd".into()],
            ..Who::unknown(crate::core::fact::ProcessKey { tgid: 7, start_ns: 1 })
        };
        assert_eq!(guarded_program(&who), None);
        (who.comm, who.exe) = ("uwsgi".into(), Some("/usr/sbin/sshd".into()));
        assert_eq!(guarded_program(&who), Some("the way in"));
        // What is mounted over that path is another file; and the file is the same under another path.
        who.runs_guarded = Some(false);
        assert_eq!(guarded_program(&who), None);
        (who.exe, who.runs_guarded) = (Some("/tmp/x".into()), Some(true));
        assert_eq!(guarded_program(&who), Some(MOVED));
        who.container = Some("51fb".into());
        assert_eq!(guarded_program(&who), None);
    }
}
