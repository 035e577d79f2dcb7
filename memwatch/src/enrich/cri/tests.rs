//! What runtimes say, whatever it is; and runtimes that say nothing, or nonsense.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use proptest::prelude::*;
use prost::Message as _;

use super::naming::{of_container, of_sandbox, of_status};
use super::*;
use crate::core::naming::PodNaming;

const ID: &str = "51fb4e42bca3ddd1cf744aa1f335365751fb4e42bca3ddd1cf744aa1f3353657";
const DIGEST: &str = "sha256:51fb4e42bca3ddd1cf744aa1f335365751fb4e42bca3ddd1cf744aa1f3353657";

fn container(image: &str, written: &str, reference: &str) -> api::Container {
    let spec = api::ImageSpec {
        image: image.to_owned(),
        user_specified_image: written.to_owned(),
        ..Default::default()
    };
    api::Container { image: Some(spec), image_ref: reference.to_owned(), ..Default::default() }
}

#[test]
fn images_as_runtimes_write_them() {
    let digest = format!("registry.k8s.io/app@{DIGEST}");
    let local = format!("localhost:5000/app@{DIGEST}");
    for (image, written, reference, name, tag) in [
        ("docker.io/library/busybox:1.36", "", DIGEST, Some("docker.io/library/busybox"), Some("1.36")),
        // The kubelet asks by id, and says beside it what stands in the pod.
        (DIGEST, "busybox:1.36", DIGEST, Some("busybox"), Some("1.36")),
        (DIGEST, "registry:5000/team/app", DIGEST, Some("registry:5000/team/app"), None),
        ("registry:5000/app:v1", "", "", Some("registry:5000/app"), Some("v1")),
        (DIGEST, "", &digest, Some("registry.k8s.io/app"), None),
        (ID, "", &local, Some("localhost:5000/app"), None),
        (&digest, "", &digest, Some("registry.k8s.io/app"), None),
        (DIGEST, "", DIGEST, None, None),
        ("", "", "", None, None),
    ] {
        let read = of_container(container(image, written, reference), PodNaming::default()).image;
        assert_eq!((read.name.as_deref(), read.tag.as_deref()), (name, tag), "{image} {written} {reference}");
        assert_eq!(read.digest.is_some(), reference.contains('@'), "{reference}");
    }
}

#[test]
fn labels_of_the_kubelet_name_the_pod_where_its_sandbox_is_gone() {
    let labels = [
        ("io.kubernetes.pod.name", "web-0"),
        ("io.kubernetes.pod.namespace", "shop"),
        ("io.kubernetes.pod.uid", "1-2-3"),
        ("io.kubernetes.container.name", "app"),
        ("tier", "front"),
        ("a key that no API server takes\"", "x"),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let metadata = api::ContainerMetadata { name: "app".to_owned(), attempt: 2 };
    let status =
        api::ContainerStatus { metadata: Some(metadata), labels: labels.into(), ..Default::default() };
    let naming = of_status(status, PodNaming::default());
    assert_eq!((naming.name.as_deref(), naming.restarts), (Some("app"), Some(2)));
    let pod = &naming.pod;
    let named = [&pod.name, &pod.namespace, &pod.uid].map(|text| text.as_deref().unwrap_or_default());
    assert_eq!(named, ["web-0", "shop", "1-2-3"]);
    let labels: Vec<_> = naming.labels.iter().map(|label| (&*label.key, &*label.value)).collect();
    assert_eq!(labels, [("tier", "front")]);
}

/// More than any naming may hold: eight texts, and twice 32 labels.
const LARGEST: usize = 8 * 512 + 64 * (317 + 253);

proptest! {
    #[test]
    fn any_bytes_are_names_within_bounds_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        for one in api::ListContainersResponse::decode(&*bytes).unwrap_or_default().containers {
            prop_assert!(of_container(one, PodNaming::default()).bytes() <= LARGEST);
        }
        for one in api::ListPodSandboxResponse::decode(&*bytes).unwrap_or_default().items {
            of_sandbox(one.metadata, one.labels);
        }
        if let Ok(event) = api::ContainerEventResponse::decode(&*bytes) {
            for status in event.containers_statuses {
                prop_assert!(of_status(status, PodNaming::default()).bytes() <= LARGEST);
            }
        }
    }
}

proptest! {
    // Texts of any characters take their time to be made up.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_texts_are_cut_to_bounds(
        name in "\\PC{0,400}",
        image in "[a-z0-9:/@.]{0,700}",
        labels in proptest::collection::hash_map("[a-zA-Z./_-]{0,400}|\\PC{0,20}", "\\PC{0,400}", 0..50),
    ) {
        let metadata = Some(api::ContainerMetadata { name, attempt: 0 });
        let reference = image.clone();
        let one = api::Container { metadata, labels: labels.clone(), ..container(&image, &image, &reference) };
        let pod = of_sandbox(None, labels);
        let naming = of_container(one, pod);
        prop_assert!(naming.bytes() <= LARGEST, "{}", naming.bytes());
        prop_assert!(naming.labels.len() <= 32 && naming.pod.labels.len() <= 32);
        let is_plain = |key: &str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./_-".contains(&byte));
        prop_assert!(naming.labels.iter().all(|label| is_plain(&label.key)));
    }
}

/// A socket of the test's own.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("memwatch-cri-{}-{name}.sock", std::process::id()));
        // What an earlier run left.
        let _ = std::fs::remove_file(&path);
        Self(path)
    }

    fn containers(&self) -> Containers {
        Containers::start(&Sockets::At(vec![self.0.clone()])).expect("a thread")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn asked_for(number: usize) -> Container {
    Container { id: format!("{number:064x}"), runtime: None }
}

/// Waits as an event of this container would: much longer on a busy machine than on an idle one, but not for ever.
fn wait_for(containers: &Containers, container: &Container) {
    let start = Instant::now();
    while containers.look_up(container) == Answer::Awaited {
        assert!(start.elapsed() < PATIENCE * 60, "it waits on and on");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn nobody_waits_where_nobody_listens() {
    let place = Place::new("absent");
    let containers = place.containers();
    assert_eq!(containers.look_up(&asked_for(1)), Answer::Unknown);
    assert_eq!(containers.losses(), Losses::default());
    assert_eq!(Containers::none().look_up(&asked_for(1)), Answer::Unknown);
}

#[test]
fn a_socket_that_a_runtime_left_behind_is_no_loss() {
    let place = Place::new("left");
    drop(UnixListener::bind(&place.0).expect("a socket"));
    let containers = place.containers();
    wait_for(&containers, &asked_for(1));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(containers.losses(), Losses::default());
}

#[test]
fn a_runtime_that_never_answers_is_waited_for_once_and_not_for_long() {
    let place = Place::new("stalled");
    let listener = UnixListener::bind(&place.0).expect("a socket");
    let containers = place.containers();
    assert_eq!(containers.look_up(&asked_for(1)), Answer::Awaited);
    wait_for(&containers, &asked_for(1));
    assert_eq!(containers.look_up(&asked_for(1)), Answer::Unknown, "later events of it do not wait");
    // When it is known to stall, other containers are not waited for either.
    let start = Instant::now();
    while containers.losses().calls_failed == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "the call has no end");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(containers.look_up(&asked_for(2)), Answer::Unknown);
    drop(listener);
}

#[test]
fn questions_that_find_no_room_are_dropped_and_counted() {
    const MORE: usize = 76;
    let place = Place::new("full");
    // Nobody takes a question before the peer has said who it is, which it never does.
    let listener = UnixListener::bind(&place.0).expect("a socket");
    let containers = place.containers();
    let answers: Vec<_> = (0..ASKS + MORE).map(|number| containers.look_up(&asked_for(number))).collect();
    let awaited = answers.iter().filter(|answer| **answer == Answer::Awaited).count();
    assert_eq!((awaited, containers.losses().not_asked), (ASKS, MORE as u64));
    assert_eq!(answers.last(), Some(&Answer::Unknown), "it has nothing to wait for");
    drop(listener);
}

#[test]
fn nonsense_is_counted_and_never_fatal() {
    let place = Place::new("nonsense");
    let listener = UnixListener::bind(&place.0).expect("a socket");
    let answers: [&[u8]; 4] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0xff; 4096],
        // Settings of HTTP/2, then a frame of a type that does not exist and claims 16 MiB.
        b"\0\0\0\x04\0\0\0\0\0\xff\xff\xff\xee\0\0\0\0\x01",
        b"",
    ];
    let given = Arc::new(AtomicUsize::new(0));
    let giving = Arc::clone(&given);
    std::thread::spawn(move || {
        // A connection that broke before it was used is replaced by another one: two may be one failure.
        for answer in answers.into_iter().cycle() {
            let Ok((mut peer, _)) = listener.accept() else { return };
            let _ = peer.read(&mut [0; 1024]);
            let _ = peer.write_all(answer);
            giving.fetch_add(1, Ordering::Relaxed);
        }
    });
    let containers = place.containers();
    let start = Instant::now();
    let mut number = 0;
    while containers.losses().calls_failed < 4 || given.load(Ordering::Relaxed) < answers.len() {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", containers.losses());
        wait_for(&containers, &asked_for(number));
        number += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(containers.naming(&asked_for(0).id), None);
}

#[test]
#[ignore = "prints the cost of a look-up: a figure for the journal, not a verdict"]
fn a_look_up_of_what_is_known_is_cheap() {
    let known = 1_000;
    let namings = (0..known).map(|number| (asked_for(number).id, Naming::default()));
    let containers = Containers::knowing(namings);
    let ids: Vec<_> = (0..known).map(asked_for).collect();
    let mut times: Vec<_> = (0..1_001)
        .map(|round| {
            let container = &ids[round * 7 % known];
            let start = Instant::now();
            let answer = std::hint::black_box(containers.look_up(std::hint::black_box(container)));
            let took = start.elapsed();
            assert!(matches!(answer, Answer::Known(_)));
            took
        })
        .collect();
    times.sort_unstable();
    eprintln!("median {:?}, 99 of 100 within {:?}", times[500], times[990]);
}
