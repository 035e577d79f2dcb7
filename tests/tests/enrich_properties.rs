//! What holds for any input of the parsers behind attribution: they end, they do not panic, and what a process can
//! choose comes out as it went in.

use std::os::unix::ffi::OsStrExt;

use memwatch::enrich::{cgroup, container, proc, unit_limit};
use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes that look like the text of `/proc` just enough to reach the far ends of the parsers.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"(".to_vec()),
        Just(b")".to_vec()),
        Just(b" ".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\t".to_vec()),
        Just(b":".to_vec()),
        Just(b"/".to_vec()),
        Just(b"\\04".to_vec()),
        Just(b" - cgroup2 ".to_vec()),
        Just(b"Uid:\t".to_vec()),
        Just(b"PPid:\t".to_vec()),
        Just(b"Tgid:\t".to_vec()),
        Just(b"NSpid:\t".to_vec()),
        Just(b"Max open files ".to_vec()),
        Just(b"unlimited ".to_vec()),
        Just(b"7f00-8f00 rw-p 0 00:00 0 ".to_vec()),
        Just(b"-".to_vec()),
        Just(b"rw-p ".to_vec()),
        Just(b"[heap]".to_vec()),
        Just(b"Rss: ".to_vec()),
        Just(b" kB".to_vec()),
        Just(b"VmFlags: ".to_vec()),
        Just(b"[Service]\n".to_vec()),
        Just(b"LimitNOFILE=".to_vec()),
        Just(b"infinity".to_vec()),
        Just(b"0::/".to_vec()),
        Just(b"4:memory:/".to_vec()),
        Just(b" (deleted)".to_vec()),
        any::<u64>().prop_map(|number| number.to_string().into_bytes()),
        vec(any::<u8>(), 0..8),
    ];
    vec(word, 0..60).prop_map(|words| words.concat())
}

fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("/".to_owned()),
        Just("docker".to_owned()),
        Just("-".to_owned()),
        Just(":cri-containerd:".to_owned()),
        Just("kubepods-pod".to_owned()),
        Just("pod".to_owned()),
        Just(".scope".to_owned()),
        Just(".slice".to_owned()),
        Just(".service".to_owned()),
        Just("libpod-conmon-".to_owned()),
        "[0-9a-f]{64}",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "\\PC{0,4}",
    ];
    vec(part, 0..20).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn every_parser_takes_any_bytes(text in prop_oneof![text(), vec(any::<u8>(), 0..300)]) {
        let _ = proc::parse_stat(&text);
        let _ = proc::parse_status(&text);
        let _ = proc::parse_limits(&text);
        let _ = unit_limit::parse_setting(&text, "Service", "LimitNOFILE");
        for line in text.split(|&byte| byte == b'\n') {
            if let Ok(mapping) = proc::parse_mapping(line) {
                prop_assert!(mapping.start.checked_add(mapping.length).is_some() && line.ends_with(mapping.name));
            }
            let _ = proc::parse_smaps_line(line);
        }
        let _ = cgroup::parse_mounts(&text);
        if let Some(exe) = proc::parse_exe(&text) {
            prop_assert!(text.starts_with(&exe.path));
        }
        prop_assert!(proc::parse_cmdline(&text, true).words.len() <= 64);
        if let Ok(memberships) = proc::parse_cgroups(&text) {
            prop_assert!(memberships.telling_path().is_none_or(|(_, path)| path.starts_with(b"/")));
        }
        let _ = container::names_of(&String::from_utf8_lossy(&text));
    }

    #[test]
    fn a_name_comes_out_as_it_went_in(name in vec(any::<u8>(), 0..64), pid: u32, parent: u32, ticks in 0..1_u64 << 40) {
        let numbers = format!(") S {parent} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0\n");
        let text = [format!("{pid} (").as_bytes(), &name, numbers.as_bytes()].concat();
        let stat = proc::parse_stat(&text).unwrap();
        prop_assert_eq!(stat.comm, name);
        prop_assert_eq!((stat.pid, stat.parent_pid, stat.start_ns), (pid, parent, ticks * 10_000_000));
    }

    #[test]
    fn an_area_comes_out_as_it_went_in(start: u64, length: u64, inode: u64, flags in "[r-][w-][x-][ps]", name in "(/[a-z \\\\:.]{0,20})?") {
        let length = length.min(u64::MAX - start);
        let line = format!("{start:08x}-{:08x} {flags} 00000000 00:00 {inode}    {name}", start + length);
        let mapping = proc::parse_mapping(line.as_bytes()).unwrap();
        prop_assert_eq!((mapping.start, mapping.length, mapping.inode), (start, length, inode));
        prop_assert_eq!((mapping.is_writable, mapping.is_private), (&flags[1..2] == "w", &flags[3..] == "p"));
        prop_assert_eq!(mapping.name, name.as_bytes());
    }

    #[test]
    fn arguments_come_out_as_they_went_in(args in vec(vec(1_u8.., 1..20), 0..64)) {
        let text: Vec<u8> = args.iter().flat_map(|arg| arg.iter().copied().chain([0])).collect();
        prop_assert_eq!(proc::parse_cmdline(&text, true), proc::Arguments { words: args, are_cut: false });
    }

    #[test]
    fn a_mount_point_comes_out_as_it_went_in(point in vec(1_u8.., 1..30)) {
        let escaped = |byte: &u8| match byte {
            b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
            byte => vec![*byte],
        };
        let escaped: Vec<u8> = point.iter().flat_map(escaped).collect();
        let line = [&b"1 0 0:26 / "[..], &escaped, b" rw - cgroup2 c rw\n"].concat();
        let mounts = cgroup::parse_mounts(&line);
        prop_assert_eq!(mounts.first().unwrap().point.as_os_str().as_bytes(), point);
    }

    #[test]
    fn what_a_path_names_stands_in_it(path in path()) {
        let container::Names { container, pod, unit, slice } = container::names_of(&path);
        prop_assert_eq!(container.is_some(), container::is_in_container(&path));
        if let Some(container) = container {
            prop_assert!(path.contains(&container.id));
            prop_assert!(container.id.len() == 64 && container.id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        if let Some(pod) = pod {
            prop_assert!(path.contains(&pod.uid) || path.contains(&pod.uid.replace('-', "_")));
            prop_assert!(pod.uid.len() == 36 || pod.uid.len() == 32);
        }
        for name in unit.iter().chain(&slice) {
            prop_assert!(path.contains(name) && !name.contains('/'));
        }
        prop_assert!(slice.is_none_or(|slice| slice.ends_with(".slice") && unit.is_some()));
    }

    /// Nothing that a container makes below its own cgroup takes it out of its unit and its slice.
    #[test]
    fn a_container_cannot_leave_its_unit_by_a_name(below in path()) {
        let id = "0123456789abcdef".repeat(4);
        let own = format!("/kubepods.slice/kubepods-pod{}.slice/cri-containerd-{id}.scope", &id[..32]);
        let (outer, inner) = (container::names_of(&own), container::names_of(&format!("{own}/{below}")));
        prop_assert_eq!((inner.unit, inner.slice), (outer.unit, outer.slice));
        prop_assert!(inner.container.is_some() && inner.pod.is_some());
    }
}
