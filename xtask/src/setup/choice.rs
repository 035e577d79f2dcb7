//! Which toolchain to use, from facts alone: what is installed wins, else Debian's packages are unpacked.

use std::path::PathBuf;

use super::record::Toolchain;

/// What the machine has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Rustup's nightly toolchains.
    pub(crate) nightlies: Vec<Nightly>,
    /// The `bpf-linker` on `PATH`.
    pub(crate) bpf_linker: Option<PathBuf>,
    /// Whether Debian's tools to fetch and unpack a package are there.
    pub(crate) has_apt: bool,
}

/// A nightly toolchain.
#[derive(Clone, Debug)]
pub(crate) struct Nightly {
    /// Its folder.
    pub(crate) sysroot: PathBuf,
    /// Whether it has the rust-src component.
    pub(crate) has_source: bool,
}

/// What to do about the toolchain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Use what is installed.
    Present(Toolchain),
    /// Fetch Debian's packages and unpack them.
    Unpack,
    /// Neither is possible: what is missing, and the remedies.
    Nothing(String),
}

/// Chooses the toolchain.
pub(crate) fn choose(facts: &Facts) -> Choice {
    let nightly = facts.nightlies.iter().find(|nightly| nightly.has_source);
    match (nightly, &facts.bpf_linker) {
        (Some(nightly), Some(bpf_linker)) => Choice::Present(Toolchain {
            cargo: Some(nightly.sysroot.join("bin/cargo")),
            rustc: nightly.sysroot.join("bin/rustc"),
            bootstrap: false,
            bpf_linker: bpf_linker.clone(),
            libraries: None,
        }),
        _ if facts.has_apt => Choice::Unpack,
        (nightly, linker) => Choice::Nothing(missing(facts, nightly.is_some(), linker.is_some())),
    }
}

/// The two remedies where nothing can be fetched.
pub(crate) const REMEDIES: &str = "either install `rustup toolchain install nightly --component rust-src` and \
    `cargo install bpf-linker`, or work on Debian 12, whose packages rustc-web and rust-web-src are unpacked below \
    target/";

fn missing(facts: &Facts, has_nightly: bool, has_linker: bool) -> String {
    let nightly = match (has_nightly, facts.nightlies.is_empty()) {
        (true, _) => "a nightly with rust-src is there",
        (false, true) => "rustup has no nightly toolchain",
        (false, false) => "the nightly toolchain lacks the rust-src component",
    };
    let linker = if has_linker { "bpf-linker is there" } else { "no bpf-linker on PATH" };
    format!("{nightly}, {linker}, and there is no apt-get to fetch Debian's; {REMEDIES}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nightly(has_source: bool) -> Nightly {
        Nightly { sysroot: "/rustup/nightly".into(), has_source }
    }

    fn linker() -> Option<PathBuf> {
        Some("/bin/bpf-linker".into())
    }

    #[test]
    fn an_installed_pair_wins_over_fetching() {
        let facts = Facts {
            nightlies: vec![nightly(false), Nightly { sysroot: "/rustup/other".into(), has_source: true }],
            bpf_linker: linker(),
            has_apt: true,
        };
        let Choice::Present(toolchain) = choose(&facts) else { panic!("not present") };
        assert_eq!(toolchain.rustc, PathBuf::from("/rustup/other/bin/rustc"));
        assert_eq!(toolchain.cargo, Some("/rustup/other/bin/cargo".into()));
        assert!(!toolchain.bootstrap, "a nightly needs no leave");
        assert_eq!(toolchain.libraries, None);
    }

    #[test]
    fn half_a_pair_is_fetched_in_full() {
        for (has_source, bpf_linker) in [(true, None), (false, linker()), (false, None)] {
            let facts = Facts { nightlies: vec![nightly(has_source)], bpf_linker, has_apt: true };
            assert_eq!(choose(&facts), Choice::Unpack);
        }
    }

    #[test]
    fn without_apt_the_message_names_what_is_missing_and_both_remedies() {
        for (nightlies, bpf_linker, part) in [
            (vec![], linker(), "rustup has no nightly toolchain"),
            (vec![nightly(false)], linker(), "lacks the rust-src component"),
            (vec![nightly(true)], None, "no bpf-linker on PATH"),
        ] {
            let Choice::Nothing(message) = choose(&Facts { nightlies, bpf_linker, has_apt: false }) else {
                panic!("something chosen")
            };
            assert!(message.contains(part), "{message}");
            assert!(message.contains("rustup toolchain install nightly --component rust-src"), "{message}");
            assert!(message.contains("rustc-web"), "{message}");
        }
    }
}
