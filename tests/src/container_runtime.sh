# Runs containerd with its CRI plugin, and gives it one image, which it makes itself: busybox and nothing else.
# Whoever kills containerd has it start again.
set -e
exec 2>/tmp/log
cat > /tmp/config.toml <<'END'
version = 2
root = "/tmp/containerd"
state = "/run/containerd"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "memwatch.test/busybox:1.0"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
END
mkdir -p /tmp/image/root/bin /tmp/image/root/tmp /tmp/logs
cp /bin/busybox /tmp/image/root/bin/busybox
cd /tmp/image
tar -C root -cf layer.tar .
layer=$(sha256sum layer.tar | cut -d ' ' -f 1)
cat > config.json <<END
{"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/busybox", "sleep", "100000"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$layer"]}}
END
cat > manifest.json <<'END'
[{"Config": "config.json", "RepoTags": ["memwatch.test/busybox:1.0"], "Layers": ["layer.tar"]}]
END
tar -cf ../image.tar manifest.json config.json layer.tar
cd /tmp
rm -r image
(while true; do containerd --config /tmp/config.toml 2>>/tmp/log || true; sleep 0.2; done) &
until ctr --namespace k8s.io images import /tmp/image.tar >>/tmp/log; do sleep 0.1; done
rm image.tar
echo ready
wait
