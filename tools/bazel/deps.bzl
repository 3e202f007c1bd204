"""The modules of go.mod as repositories. Made by tools/bazel/tidy; do not edit."""

load("//tools/bazel:repository.bzl", "go_repository")

def go_dependencies():
    """Declares a repository for each module that go.mod requires."""
    go_repository(
        name = "com_cyphar_go_pathrs",
        importpath = "cyphar.com/go-pathrs",
        sum = "h1:SnX9FBvnoyn3lUs1dkMgZ52bAETpirNu3FTRh5HlRik=",
        version = "v0.2.5",
    )
    go_repository(
        name = "com_github_beorn7_perks",
        importpath = "github.com/beorn7/perks",
        sum = "h1:VlbKKnNfV8bJzeqoa4cOKqO6bYr3WgKZxO8Z16+hsOM=",
        version = "v1.0.1",
    )
    go_repository(
        name = "com_github_cenkalti_backoff_v5",
        importpath = "github.com/cenkalti/backoff/v5",
        sum = "h1:ZN+IMa753KfX5hd8vVaMixjnqRZ3y8CuJKRKj1xcsSM=",
        version = "v5.0.3",
    )
    go_repository(
        name = "com_github_cespare_xxhash_v2",
        importpath = "github.com/cespare/xxhash/v2",
        sum = "h1:UL815xU9SqsFlibzuggzjXhog7bL6oX9BbNZnL2UFvs=",
        version = "v2.3.0",
    )
    go_repository(
        name = "com_github_checkpoint_restore_checkpointctl",
        importpath = "github.com/checkpoint-restore/checkpointctl",
        sum = "h1:e+hOhEFiUUYZRCbbfbceQ3lLGQXHt2+qKSAR2l9Mv5M=",
        version = "v1.6.0",
    )
    go_repository(
        name = "com_github_containerd_cgroups_v3",
        importpath = "github.com/containerd/cgroups/v3",
        sum = "h1:eUNflyMddm18+yrDmZPn3jI7C5hJ9ahABE5q6dyLYXQ=",
        version = "v3.1.3",
    )
    go_repository(
        name = "com_github_containerd_containerd_api",
        importpath = "github.com/containerd/containerd/api",
        sum = "h1:kuQm82SbDrCuO4n7hf2L8zsBtZLuympyq5X/VotfX2A=",
        version = "v1.12.0",
    )
    go_repository(
        name = "com_github_containerd_containerd_v2",
        importpath = "github.com/containerd/containerd/v2",
        sum = "h1:p6Qg+xbEz8lvwdhHDx0U469xENvp4LgGBx+E7djXkGw=",
        version = "v2.4.2",
    )
    go_repository(
        name = "com_github_containerd_continuity",
        importpath = "github.com/containerd/continuity",
        sum = "h1:7a85HZpCSs+1Zps0Ee3DPSuAWY+0SJM1JNM51nlEVDg=",
        version = "v0.5.0",
    )
    go_repository(
        name = "com_github_containerd_errdefs",
        importpath = "github.com/containerd/errdefs",
        sum = "h1:tg5yIfIlQIrxYtu9ajqY42W3lpS19XqdxRQeEwYG8PI=",
        version = "v1.0.0",
    )
    go_repository(
        name = "com_github_containerd_errdefs_pkg",
        importpath = "github.com/containerd/errdefs/pkg",
        sum = "h1:9IKJ06FvyNlexW690DXuQNx2KA2cUJXx151Xdx3ZPPE=",
        version = "v0.3.0",
    )
    go_repository(
        name = "com_github_containerd_fifo",
        importpath = "github.com/containerd/fifo",
        sum = "h1:4I2mbh5stb1u6ycIABlBw9zgtlK8viPI9QkQNRQEEmY=",
        version = "v1.1.0",
    )
    go_repository(
        name = "com_github_containerd_go_cni",
        importpath = "github.com/containerd/go-cni",
        sum = "h1:jcFWauA5ED2wUHgCdvPB/IyvOtBcXzmgj8LprJ8nJH0=",
        version = "v1.1.14",
    )
    go_repository(
        name = "com_github_containerd_log",
        importpath = "github.com/containerd/log",
        sum = "h1:BewD/umNgVnoczglOpX8eRMyEy5t5iPlu5AIpnWDONc=",
        version = "v0.2.0",
    )
    go_repository(
        name = "com_github_containerd_log_otel",
        importpath = "github.com/containerd/log/otel",
        sum = "h1:Az5rFFo0+c4v2yC8ROR63sWsZpKl/vhtUnUhqLSpE6U=",
        version = "v0.1.0",
    )
    go_repository(
        name = "com_github_containerd_nri",
        importpath = "github.com/containerd/nri",
        sum = "h1:pVZwZCe0Z+d2WmScp51VTO3OmeuOZFoDGInX2n04e70=",
        version = "v0.12.3",
    )
    go_repository(
        name = "com_github_containerd_platforms",
        importpath = "github.com/containerd/platforms",
        sum = "h1:vXd569rDrz8LeMXzAnBsy6LADV5YtsD8oyaRarxdmSU=",
        version = "v1.0.0-rc.5",
    )
    go_repository(
        name = "com_github_containerd_plugin",
        importpath = "github.com/containerd/plugin",
        sum = "h1:O+7lczNJVMy8rz0YNx3xGB8tTf5qY4i5abF041Ew19U=",
        version = "v1.1.0",
    )
    go_repository(
        name = "com_github_containerd_ttrpc",
        importpath = "github.com/containerd/ttrpc",
        sum = "h1:ha0ak962T0s3CA/RoZ6S6xiWZQF24GrBaEpiGX1uihg=",
        version = "v1.2.9",
    )
    go_repository(
        name = "com_github_containerd_typeurl_v2",
        importpath = "github.com/containerd/typeurl/v2",
        sum = "h1:HZHPhRWo5XMy3QGQoPrUzbW/2ckwjfweHmOwlkIrPAQ=",
        version = "v2.3.0",
    )
    go_repository(
        name = "com_github_containernetworking_cni",
        importpath = "github.com/containernetworking/cni",
        sum = "h1:gnHlU/YC1bJcS+CSh+pYQKeuu4O4gsMGW1NMaLhkzW4=",
        version = "v1.3.1",
    )
    go_repository(
        name = "com_github_coreos_go_systemd_v22",
        importpath = "github.com/coreos/go-systemd/v22",
        sum = "h1:LAEzFkke61DFROc7zNLX/WA2i5J8gYqe0rSj9KI28KA=",
        version = "v22.7.0",
    )
    go_repository(
        name = "com_github_cpuguy83_go_md2man_v2",
        importpath = "github.com/cpuguy83/go-md2man/v2",
        sum = "h1:zbFlGlXEAKlwXpmvle3d8Oe3YnkKIK4xSRTd3sHPnBo=",
        version = "v2.0.7",
    )
    go_repository(
        name = "com_github_cyphar_filepath_securejoin",
        importpath = "github.com/cyphar/filepath-securejoin",
        sum = "h1:s0Y3ITPy6sQn5xt54DuYvTF8hu134ooYLUb58DX/HjE=",
        version = "v0.7.0",
    )
    go_repository(
        name = "com_github_davecgh_go_spew",
        importpath = "github.com/davecgh/go-spew",
        sum = "h1:U9qPSI2PIWSS1VwoXQT9A3Wy9MM3WgvqSxFWenqJduM=",
        version = "v1.1.2-0.20180830191138-d8f796af33cc",
    )
    go_repository(
        name = "com_github_distribution_reference",
        importpath = "github.com/distribution/reference",
        sum = "h1:0IXCQ5g4/QMHHkarYzh5l+u8T3t73zM5QvfrDyIgxBk=",
        version = "v0.6.0",
    )
    go_repository(
        name = "com_github_elastic_go_seccomp_bpf",
        importpath = "github.com/elastic/go-seccomp-bpf",
        sum = "h1:NYduiYxRJ0ZkIyQVwlSskcqPPSg6ynu5pK0/d7SQATs=",
        version = "v1.6.0",
    )
    go_repository(
        name = "com_github_emicklei_go_restful_v3",
        importpath = "github.com/emicklei/go-restful/v3",
        sum = "h1:C4Bl2xDndpU6nJ4bc1jXd+uTmYPVUwkD6bFY/oTyCes=",
        version = "v3.13.0",
    )
    go_repository(
        name = "com_github_felixge_httpsnoop",
        importpath = "github.com/felixge/httpsnoop",
        sum = "h1:3YtUj32ZZkqZtt3sZZsClsymw/QDuVfpNhoA31zeORc=",
        version = "v1.1.0",
    )
    go_repository(
        name = "com_github_fsnotify_fsnotify",
        importpath = "github.com/fsnotify/fsnotify",
        sum = "h1:b0/UzAf9yR5rhf3RPm9gf3ehBPpf0oZKIjtpKrx59Ho=",
        version = "v1.10.1",
    )
    go_repository(
        name = "com_github_fxamacker_cbor_v2",
        importpath = "github.com/fxamacker/cbor/v2",
        sum = "h1:xwjVlxEMR3S605oUlgBjKLTTeGFciYPGYCtF/35LKGo=",
        version = "v2.9.4",
    )
    go_repository(
        name = "com_github_go_logr_logr",
        importpath = "github.com/go-logr/logr",
        sum = "h1:tG4xh9yMsRCAiodLVTxyrkzSZ9+o0L1Kg/+cPVcbP/8=",
        version = "v1.4.4",
    )
    go_repository(
        name = "com_github_go_logr_stdr",
        importpath = "github.com/go-logr/stdr",
        sum = "h1:hSWxHoqTgW2S2qGc0LTAI563KZ5YKYRhT3MFKZMbjag=",
        version = "v1.2.2",
    )
    go_repository(
        name = "com_github_google_uuid",
        importpath = "github.com/google/uuid",
        sum = "h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=",
        version = "v1.6.0",
    )
    go_repository(
        name = "com_github_gorilla_websocket",
        importpath = "github.com/gorilla/websocket",
        sum = "h1:JeSE6pjso5THxAzdVpqr6/geYxZytqFMBCOtn/ujyeo=",
        version = "v1.5.4-0.20250319132907-e064f32e3674",
    )
    go_repository(
        name = "com_github_grpc_ecosystem_grpc_gateway_v2",
        importpath = "github.com/grpc-ecosystem/grpc-gateway/v2",
        sum = "h1:/Tnpcb2E0Pz/tN9s3bfEY2Q8ePCEX9iuS+cneUwncnw=",
        version = "v2.30.0",
    )
    go_repository(
        name = "com_github_intel_goresctrl",
        importpath = "github.com/intel/goresctrl",
        sum = "h1:5fhKjNq4V5MYDFHa//6M6x0jP6Iq5EXwZc6/eYxdEtQ=",
        version = "v0.13.0",
    )
    go_repository(
        name = "com_github_json_iterator_go",
        importpath = "github.com/json-iterator/go",
        sum = "h1:PV8peI4a0ysnczrg+LtxykD8LfKY9ML6u2jnxaEnrnM=",
        version = "v1.1.12",
    )
    go_repository(
        name = "com_github_klauspost_compress",
        importpath = "github.com/klauspost/compress",
        sum = "h1:a3C1ke2ohxFymNlb2HWAHjDeKCI90scRskErZkR0ezA=",
        version = "v1.20.0",
    )
    go_repository(
        name = "com_github_knqyf263_go_plugin",
        importpath = "github.com/knqyf263/go-plugin",
        sum = "h1:CQs2+lOPIlkZVtcb835ZYDEoyyWJWLbSTWeCs0EwTwI=",
        version = "v0.9.0",
    )
    go_repository(
        name = "com_github_microsoft_go_winio",
        importpath = "github.com/Microsoft/go-winio",
        sum = "h1:0kQAzHq8vLs7Pptv+7TxjdETLf/nIqJpIB4oC6Ba4vY=",
        version = "v0.6.3-0.20251027160822-ad3df93bed29",
    )
    go_repository(
        name = "com_github_microsoft_hcsshim",
        importpath = "github.com/Microsoft/hcsshim",
        sum = "h1:aZFX4LH0S20Lgjq0wG61StIClj7im4yzrxIClkaR8Z8=",
        version = "v0.15.0-rc.4",
    )
    go_repository(
        name = "com_github_moby_locker",
        importpath = "github.com/moby/locker",
        sum = "h1:fOXqR41zeveg4fFODix+1Ch4mj/gT0NE1XJbp/epuBg=",
        version = "v1.0.1",
    )
    go_repository(
        name = "com_github_moby_profiles_seccomp",
        importpath = "github.com/moby/profiles/seccomp",
        sum = "h1:1vJ94fIWXz206DLWq7ddPD6qLP82N7351JI/9iGy3IY=",
        version = "v0.3.0",
    )
    go_repository(
        name = "com_github_moby_spdystream",
        importpath = "github.com/moby/spdystream",
        sum = "h1:9sNYeYZUcci9R6/w7KDaFWEWeV4LStVG78Mpyq/Zm/Y=",
        version = "v0.5.1",
    )
    go_repository(
        name = "com_github_moby_sys_mountinfo",
        importpath = "github.com/moby/sys/mountinfo",
        sum = "h1:e0lin8d05kLgtUES/4cS/F70KlbZX/G3aZjLsV7WAgA=",
        version = "v0.7.3",
    )
    go_repository(
        name = "com_github_moby_sys_signal",
        importpath = "github.com/moby/sys/signal",
        sum = "h1:PrQxdvxcGijdo6UXXo/lU/TvHUWyPhj7UOpSo8tuvk0=",
        version = "v0.7.1",
    )
    go_repository(
        name = "com_github_moby_sys_user",
        importpath = "github.com/moby/sys/user",
        sum = "h1:5+S4lyoavGyX1DGs68NW8xpx48T9+a7ogSUc0KjZg8Y=",
        version = "v0.5.0",
    )
    go_repository(
        name = "com_github_moby_sys_userns",
        importpath = "github.com/moby/sys/userns",
        sum = "h1:4OvdM7BcPkASbuouHsbW3aeMJSFlYDldBRnXVZhaRk8=",
        version = "v0.2.1",
    )
    go_repository(
        name = "com_github_modern_go_concurrent",
        importpath = "github.com/modern-go/concurrent",
        sum = "h1:TRLaZ9cD/w8PVh93nsPXa1VrQ6jlwL5oN8l14QlcNfg=",
        version = "v0.0.0-20180306012644-bacd9c7ef1dd",
    )
    go_repository(
        name = "com_github_modern_go_reflect2",
        importpath = "github.com/modern-go/reflect2",
        sum = "h1:W5t00kpgFdJifH4BDsTlE89Zl93FEloxaWZfGcifgq8=",
        version = "v1.0.3-0.20250322232337-35a7c28c31ee",
    )
    go_repository(
        name = "com_github_munnerz_goautoneg",
        importpath = "github.com/munnerz/goautoneg",
        sum = "h1:C3w9PqII01/Oq1c1nUAm88MOHcQC9l5mIlSMApZMrHA=",
        version = "v0.0.0-20191010083416-a7dc8b61c822",
    )
    go_repository(
        name = "com_github_opencontainers_go_digest",
        importpath = "github.com/opencontainers/go-digest",
        sum = "h1:apOUWs51W5PlhuyGyz9FCeeBIOUDA/6nW8Oi/yOhh5U=",
        version = "v1.0.0",
    )
    go_repository(
        name = "com_github_opencontainers_image_spec",
        importpath = "github.com/opencontainers/image-spec",
        sum = "h1:y0fUlFfIZhPF1W537XOLg0/fcx6zcHCJwooC2xJA040=",
        version = "v1.1.1",
    )
    go_repository(
        name = "com_github_opencontainers_runtime_spec",
        importpath = "github.com/opencontainers/runtime-spec",
        sum = "h1:YZupQUdctfhpZy3TM39nN9Ika5CBWT5diQ8ibYCRkxg=",
        version = "v1.3.0",
    )
    go_repository(
        name = "com_github_opencontainers_selinux",
        importpath = "github.com/opencontainers/selinux",
        sum = "h1:ERxeh5caJvCzNAKdI8WQbJmB1LDTn4BuaAg8wihLBpA=",
        version = "v1.15.1",
    )
    go_repository(
        name = "com_github_pelletier_go_toml_v2",
        importpath = "github.com/pelletier/go-toml/v2",
        sum = "h1:GTRvJQutkOSftxIFD5xw9aepkYNuPWmVJpffdDPYVpY=",
        version = "v2.4.3",
    )
    go_repository(
        name = "com_github_petermattis_goid",
        importpath = "github.com/petermattis/goid",
        sum = "h1:Dx7Ovyv/SFnMFw3fD4oEoeorXc6saIiQ23LrGLth0Gw=",
        version = "v0.0.0-20240813172612-4fcff4a6cae7",
    )
    go_repository(
        name = "com_github_pkg_errors",
        importpath = "github.com/pkg/errors",
        sum = "h1:FEBLx1zS214owpjy7qsBeixbURkuhQAwrK5UwLGTwt4=",
        version = "v0.9.1",
    )
    go_repository(
        name = "com_github_prometheus_client_golang",
        importpath = "github.com/prometheus/client_golang",
        sum = "h1:JnJkREXzWxUdCuPFpIWZiPispT9xVV59uiuyR2bPlnU=",
        version = "v1.24.1",
    )
    go_repository(
        name = "com_github_prometheus_client_model",
        importpath = "github.com/prometheus/client_model",
        sum = "h1:oBsgwpGs7iVziMvrGhE53c/GrLUsZdHnqNwqPLxwZyk=",
        version = "v0.6.2",
    )
    go_repository(
        name = "com_github_prometheus_common",
        importpath = "github.com/prometheus/common",
        sum = "h1:1HvjP4D5oL3t8RsPlwxA9onvvStjtIHYE5XuuwOi/PY=",
        version = "v0.70.1",
    )
    go_repository(
        name = "com_github_prometheus_procfs",
        importpath = "github.com/prometheus/procfs",
        sum = "h1:GljZCt+zSTS+NZq88cyQ1LjZ+RCHp3uVuabBWA5+OJI=",
        version = "v0.21.1",
    )
    go_repository(
        name = "com_github_russross_blackfriday_v2",
        importpath = "github.com/russross/blackfriday/v2",
        sum = "h1:JIOH55/0cWyOuilr9/qlrm0BSXldqnqwMsf35Ld67mk=",
        version = "v2.1.0",
    )
    go_repository(
        name = "com_github_sasha_s_go_deadlock",
        importpath = "github.com/sasha-s/go-deadlock",
        sum = "h1:tNCOEEDG6tBqrNDOX35j/7hL5FcFViG6awUGROb2NsU=",
        version = "v0.3.5",
    )
    go_repository(
        name = "com_github_sirupsen_logrus",
        importpath = "github.com/sirupsen/logrus",
        sum = "h1:G2SED73/qrAu6YwbdxOD6peLkCBI3z7L+ykJFTXJBBo=",
        version = "v1.10.2",
    )
    go_repository(
        name = "com_github_tetratelabs_wazero",
        importpath = "github.com/tetratelabs/wazero",
        sum = "h1:+gKemEuKCTevU4d7ZTzlsvgd1uaToIDtlQlmNbwqYhA=",
        version = "v1.11.0",
    )
    go_repository(
        name = "com_github_urfave_cli_v2",
        importpath = "github.com/urfave/cli/v2",
        sum = "h1:bH59vdhbjLv3LAvIu6gd0usJHgoTTPhCFib8qqOwXYU=",
        version = "v2.27.7",
    )
    go_repository(
        name = "com_github_x448_float16",
        importpath = "github.com/x448/float16",
        sum = "h1:qLwI1I70+NjRFUR3zs1JPUCgaCXSh3SW62uAKT1mSBM=",
        version = "v0.8.4",
    )
    go_repository(
        name = "com_github_xrash_smetrics",
        importpath = "github.com/xrash/smetrics",
        sum = "h1:gEOO8jv9F4OT7lGCjxCBTO/36wtF6j2nSip77qHd4x4=",
        version = "v0.0.0-20240521201337-686a1a2994c1",
    )
    go_repository(
        name = "in_gopkg_inf_v0",
        importpath = "gopkg.in/inf.v0",
        sum = "h1:73M5CoZyi3ZLMOyDlQh031Cx6N9NDJ2Vvfl76EDAgDc=",
        version = "v0.9.1",
    )
    go_repository(
        name = "in_yaml_go_yaml_v2",
        importpath = "go.yaml.in/yaml/v2",
        sum = "h1:tuyd0P+2Ont/d6e2rl3be67goVK4R6deVxCUX5vyPaQ=",
        version = "v2.4.4",
    )
    go_repository(
        name = "in_yaml_go_yaml_v3",
        importpath = "go.yaml.in/yaml/v3",
        sum = "h1:N6y/pJk8buWs9NY5ERU2HSMfm+IuD/OtfdAnq6kESPw=",
        version = "v3.0.5",
    )
    go_repository(
        name = "io_cncf_tags_container_device_interface",
        importpath = "tags.cncf.io/container-device-interface",
        sum = "h1:YPwQz4xg8PlQ0yT/baR0BtLpTQROe4l6M1yuRgAu1vc=",
        version = "v1.1.1",
    )
    go_repository(
        name = "io_cncf_tags_container_device_interface_specs_go",
        importpath = "tags.cncf.io/container-device-interface/specs-go",
        sum = "h1:3xjaytilFeCBVFJsJTaT9uOFahoqJMVuYG7gYqi2+NY=",
        version = "v1.1.1",
    )
    go_repository(
        name = "io_etcd_go_bbolt",
        importpath = "go.etcd.io/bbolt",
        sum = "h1:S7GAl7Fxv12yohbwFfIbQCGDWbQbtDGPET4P/bD4lxU=",
        version = "v1.5.0",
    )
    go_repository(
        name = "io_k8s_api",
        importpath = "k8s.io/api",
        sum = "h1:PnxqnUFy93jr2GcpWDkKOm8wfy25kT9wa572MuQS8oc=",
        version = "v0.37.2",
    )
    go_repository(
        name = "io_k8s_apimachinery",
        importpath = "k8s.io/apimachinery",
        sum = "h1:G4t9RGoPDbQML38hz/kQQiltttgd3egg2ODCR8aIc2o=",
        version = "v0.37.2",
    )
    go_repository(
        name = "io_k8s_client_go",
        importpath = "k8s.io/client-go",
        sum = "h1:sgFtyRZukGkOrsu+QgS7LYnbFFJ5ut3MchdBNduD//E=",
        version = "v0.37.2",
    )
    go_repository(
        name = "io_k8s_cri_api",
        importpath = "k8s.io/cri-api",
        sum = "h1:UMvN3s6yoG3SVbxX9Mw6yVmVmaLwVAjy0hXUpJzXogo=",
        version = "v0.37.2",
    )
    go_repository(
        name = "io_k8s_cri_streaming",
        importpath = "k8s.io/cri-streaming",
        sum = "h1:0SqyYSI4EEmePinyIv57hZqK0ELfBaa0seB+ld/dLkk=",
        version = "v0.37.2",
    )
    go_repository(
        name = "io_k8s_klog_v2",
        importpath = "k8s.io/klog/v2",
        sum = "h1:Tf+J3AH7xnUzZyVVXhTgGhEKnFqye14aadWv7bzXdzc=",
        version = "v2.140.0",
    )
    go_repository(
        name = "io_k8s_kube_openapi",
        importpath = "k8s.io/kube-openapi",
        sum = "h1:oXImqH8mQNk7PmvzKhmN3ddJoY6OnyM225MXwGHPm0A=",
        version = "v0.0.0-20260721132016-d427ff9ee9ad",
    )
    go_repository(
        name = "io_k8s_sigs_json",
        importpath = "sigs.k8s.io/json",
        sum = "h1:IpInykpT6ceI+QxKBbEflcR5EXP7sU1kvOlxwZh5txg=",
        version = "v0.0.0-20250730193827-2d320260d730",
    )
    go_repository(
        name = "io_k8s_sigs_randfill",
        importpath = "sigs.k8s.io/randfill",
        sum = "h1:JfjMILfT8A6RbawdsK2JXGBR5AQVfd+9TbzrlneTyrU=",
        version = "v1.0.0",
    )
    go_repository(
        name = "io_k8s_sigs_structured_merge_diff_v6",
        importpath = "sigs.k8s.io/structured-merge-diff/v6",
        sum = "h1:qdOxHwrl2Kaag1aQEarlYcOA9vSyGCp3CIki3aW8c4Q=",
        version = "v6.4.2",
    )
    go_repository(
        name = "io_k8s_sigs_yaml",
        importpath = "sigs.k8s.io/yaml",
        sum = "h1:G8fkbMSAFqgEFgh4b1wmtzDnioxFCUgTZhlbj5P9QYs=",
        version = "v1.6.0",
    )
    go_repository(
        name = "io_k8s_streaming",
        importpath = "k8s.io/streaming",
        sum = "h1:xmzp9nbqIbjvsRcqrBYa+K5XPQ6Jy/Dm3zZ8mN916AI=",
        version = "v0.37.2",
    )
    go_repository(
        name = "io_k8s_utils",
        importpath = "k8s.io/utils",
        sum = "h1:Ea7fgQ5we8Y9T0OX5o0dAHzQOBRI07D/dEYRaB9ZZEs=",
        version = "v0.0.0-20260626114624-be93311217bd",
    )
    go_repository(
        name = "io_opentelemetry_go_auto_sdk",
        importpath = "go.opentelemetry.io/auto/sdk",
        sum = "h1:jXsnJ4Lmnqd11kwkBV2LgLoFMZKizbCi5fNZ/ipaZ64=",
        version = "v1.2.1",
    )
    go_repository(
        name = "io_opentelemetry_go_contrib_instrumentation_google_golang_org_grpc_otelgrpc",
        importpath = "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
        sum = "h1:Tq+E65HaNbZTeqcLw6QUhsV+/EIWdkfUH2CQzcrlE5M=",
        version = "v0.72.0",
    )
    go_repository(
        name = "io_opentelemetry_go_contrib_instrumentation_net_http_otelhttp",
        importpath = "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
        sum = "h1:3g7B90UzBltIDKq1/5mrTGxTnOFDV0ICOhLoxiZ8jlg=",
        version = "v0.71.0",
    )
    go_repository(
        name = "io_opentelemetry_go_otel",
        importpath = "go.opentelemetry.io/otel",
        sum = "h1:j7ALJ/zgkS7Z6aeJW09p8VC9804bC+PpeTfCD4XPnOM=",
        version = "v1.47.0",
    )
    go_repository(
        name = "io_opentelemetry_go_otel_exporters_otlp_otlptrace",
        importpath = "go.opentelemetry.io/otel/exporters/otlp/otlptrace",
        sum = "h1:julhjPeUH/q/7hinbSdDdqt5h7Zw9YWmRlWRhI0jd54=",
        version = "v1.47.0",
    )
    go_repository(
        name = "io_opentelemetry_go_otel_exporters_otlp_otlptrace_otlptracegrpc",
        importpath = "go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc",
        sum = "h1:UFpxOpYPmMNUtOWhdb+nC1WELIgVf8z9higURrbzYU4=",
        version = "v1.47.0",
    )
    go_repository(
        name = "io_opentelemetry_go_otel_log",
        importpath = "go.opentelemetry.io/otel/log",
        sum = "h1:cOTS1CcLbSQeZKanGJ+0JpF/+t4PELi3O3bbl2lqCcI=",
        version = "v1.47.0",
    )
    go_repository(
        name = "io_opentelemetry_go_otel_metric",
        importpath = "go.opentelemetry.io/otel/metric",
        sum = "h1:4PptaldXx3Eat1XjMZ68pPJEs5wrhlemctZE9a3UdWY=",
        version = "v1.47.0",
    )
    go_repository(
        name = "io_opentelemetry_go_otel_sdk",
        importpath = "go.opentelemetry.io/otel/sdk",
        sum = "h1:zWXEr4j2lFefG87TU6Yg8a7ngfohIKFZHKp0Hf5hC6I=",
        version = "v1.47.0",
    )
    go_repository(
        name = "io_opentelemetry_go_otel_trace",
        importpath = "go.opentelemetry.io/otel/trace",
        sum = "h1:JOjX/Oci8K94QHddo+bbfya/Ai/nf6/dt9ZfrFNWSrM=",
        version = "v1.47.0",
    )
    go_repository(
        name = "io_opentelemetry_go_proto_otlp",
        importpath = "go.opentelemetry.io/proto/otlp",
        sum = "h1:5rrYs0Ykyj50sdU/JU0x8etU+LubXWb+gED6TbEdMIk=",
        version = "v1.11.0",
    )
    go_repository(
        name = "org_golang_google_genproto_googleapis_api",
        importpath = "google.golang.org/genproto/googleapis/api",
        sum = "h1:rZHRz0ogq4Pid1IKtA/ivHi8XONVF5tqUQXA2TtgpkE=",
        version = "v0.0.0-20260928230214-8a89bd6388cc",
    )
    go_repository(
        name = "org_golang_google_genproto_googleapis_rpc",
        importpath = "google.golang.org/genproto/googleapis/rpc",
        sum = "h1:4bNTbnb44EqGVy9HaQxSY2jnafSUdgV3qHtedvNpDKg=",
        version = "v0.0.0-20260928230214-8a89bd6388cc",
    )
    go_repository(
        name = "org_golang_google_grpc",
        importpath = "google.golang.org/grpc",
        sum = "h1:BPBCfuVRQ1qvBhKDOq9uvQllMvO59rKsYhXpp7Dd8vw=",
        version = "v1.85.0",
    )
    go_repository(
        name = "org_golang_google_protobuf",
        importpath = "google.golang.org/protobuf",
        sum = "h1:pJOKDDOyeXErUroCihFAd5LQuwXBSpVnKGrj5o/fwxc=",
        version = "v1.36.12",
    )
    go_repository(
        name = "org_golang_x_mod",
        importpath = "golang.org/x/mod",
        sum = "h1:MFuq5J6s35W9D3IjkwyWc9vHh0nENOrt5K8Iof4ofmg=",
        version = "v0.43.0",
    )
    go_repository(
        name = "org_golang_x_net",
        importpath = "golang.org/x/net",
        sum = "h1:79p50tfZlm0J9YfoDsSi639qSXNGVwEzOPLCxM2FsYU=",
        version = "v0.60.0",
    )
    go_repository(
        name = "org_golang_x_oauth2",
        importpath = "golang.org/x/oauth2",
        sum = "h1:peZ/1z27fi9hUOFCAZaHyrpWG5lwe0RJEEEeH0ThlIs=",
        version = "v0.36.0",
    )
    go_repository(
        name = "org_golang_x_sync",
        importpath = "golang.org/x/sync",
        sum = "h1:iqiDrGoDgyuvAKrhLQthUEzU/R378N78gXbBjxed7oA=",
        version = "v0.24.0",
    )
    go_repository(
        name = "org_golang_x_sys",
        importpath = "golang.org/x/sys",
        sum = "h1:XbzkgYJHdqh/8m2Uu0W/dQv8nktxx4BFHp1M0gROTXA=",
        version = "v0.49.0",
    )
    go_repository(
        name = "org_golang_x_term",
        importpath = "golang.org/x/term",
        sum = "h1:3+OXuTbaKDgwk8jTi3aSLHRlmWqHEUDUtxnbFigO4YE=",
        version = "v0.46.0",
    )
    go_repository(
        name = "org_golang_x_text",
        importpath = "golang.org/x/text",
        sum = "h1:JbOZXgfeCPU9gacVtYliJqOhD+zhrEqK4LfdpmlUZqI=",
        version = "v0.42.0",
    )
    go_repository(
        name = "org_golang_x_time",
        importpath = "golang.org/x/time",
        sum = "h1:vMb6ptszcQMkcwiRTAuNNU50gom6++Q/6gY2hDM6VDE=",
        version = "v0.16.0",
    )
    go_repository(
        name = "org_uber_go_goleak",
        importpath = "go.uber.org/goleak",
        sum = "h1:2K3zAYmnTNqV73imy9J1T3WC+gmCePx2hEGkimedGto=",
        version = "v1.3.0",
    )

# What each of them asks to be handed on with a program, for the release.
NOTICES = {
    "@com_cyphar_go_pathrs//:notices": "cyphar.com/go-pathrs",
    "@com_github_beorn7_perks//:notices": "github.com/beorn7/perks",
    "@com_github_cenkalti_backoff_v5//:notices": "github.com/cenkalti/backoff/v5",
    "@com_github_cespare_xxhash_v2//:notices": "github.com/cespare/xxhash/v2",
    "@com_github_checkpoint_restore_checkpointctl//:notices": "github.com/checkpoint-restore/checkpointctl",
    "@com_github_containerd_cgroups_v3//:notices": "github.com/containerd/cgroups/v3",
    "@com_github_containerd_containerd_api//:notices": "github.com/containerd/containerd/api",
    "@com_github_containerd_containerd_v2//:notices": "github.com/containerd/containerd/v2",
    "@com_github_containerd_continuity//:notices": "github.com/containerd/continuity",
    "@com_github_containerd_errdefs//:notices": "github.com/containerd/errdefs",
    "@com_github_containerd_errdefs_pkg//:notices": "github.com/containerd/errdefs/pkg",
    "@com_github_containerd_fifo//:notices": "github.com/containerd/fifo",
    "@com_github_containerd_go_cni//:notices": "github.com/containerd/go-cni",
    "@com_github_containerd_log//:notices": "github.com/containerd/log",
    "@com_github_containerd_log_otel//:notices": "github.com/containerd/log/otel",
    "@com_github_containerd_nri//:notices": "github.com/containerd/nri",
    "@com_github_containerd_platforms//:notices": "github.com/containerd/platforms",
    "@com_github_containerd_plugin//:notices": "github.com/containerd/plugin",
    "@com_github_containerd_ttrpc//:notices": "github.com/containerd/ttrpc",
    "@com_github_containerd_typeurl_v2//:notices": "github.com/containerd/typeurl/v2",
    "@com_github_containernetworking_cni//:notices": "github.com/containernetworking/cni",
    "@com_github_coreos_go_systemd_v22//:notices": "github.com/coreos/go-systemd/v22",
    "@com_github_cpuguy83_go_md2man_v2//:notices": "github.com/cpuguy83/go-md2man/v2",
    "@com_github_cyphar_filepath_securejoin//:notices": "github.com/cyphar/filepath-securejoin",
    "@com_github_davecgh_go_spew//:notices": "github.com/davecgh/go-spew",
    "@com_github_distribution_reference//:notices": "github.com/distribution/reference",
    "@com_github_elastic_go_seccomp_bpf//:notices": "github.com/elastic/go-seccomp-bpf",
    "@com_github_emicklei_go_restful_v3//:notices": "github.com/emicklei/go-restful/v3",
    "@com_github_felixge_httpsnoop//:notices": "github.com/felixge/httpsnoop",
    "@com_github_fsnotify_fsnotify//:notices": "github.com/fsnotify/fsnotify",
    "@com_github_fxamacker_cbor_v2//:notices": "github.com/fxamacker/cbor/v2",
    "@com_github_go_logr_logr//:notices": "github.com/go-logr/logr",
    "@com_github_go_logr_stdr//:notices": "github.com/go-logr/stdr",
    "@com_github_google_uuid//:notices": "github.com/google/uuid",
    "@com_github_gorilla_websocket//:notices": "github.com/gorilla/websocket",
    "@com_github_grpc_ecosystem_grpc_gateway_v2//:notices": "github.com/grpc-ecosystem/grpc-gateway/v2",
    "@com_github_intel_goresctrl//:notices": "github.com/intel/goresctrl",
    "@com_github_json_iterator_go//:notices": "github.com/json-iterator/go",
    "@com_github_klauspost_compress//:notices": "github.com/klauspost/compress",
    "@com_github_knqyf263_go_plugin//:notices": "github.com/knqyf263/go-plugin",
    "@com_github_microsoft_go_winio//:notices": "github.com/Microsoft/go-winio",
    "@com_github_microsoft_hcsshim//:notices": "github.com/Microsoft/hcsshim",
    "@com_github_moby_locker//:notices": "github.com/moby/locker",
    "@com_github_moby_profiles_seccomp//:notices": "github.com/moby/profiles/seccomp",
    "@com_github_moby_spdystream//:notices": "github.com/moby/spdystream",
    "@com_github_moby_sys_mountinfo//:notices": "github.com/moby/sys/mountinfo",
    "@com_github_moby_sys_signal//:notices": "github.com/moby/sys/signal",
    "@com_github_moby_sys_user//:notices": "github.com/moby/sys/user",
    "@com_github_moby_sys_userns//:notices": "github.com/moby/sys/userns",
    "@com_github_modern_go_concurrent//:notices": "github.com/modern-go/concurrent",
    "@com_github_modern_go_reflect2//:notices": "github.com/modern-go/reflect2",
    "@com_github_munnerz_goautoneg//:notices": "github.com/munnerz/goautoneg",
    "@com_github_opencontainers_go_digest//:notices": "github.com/opencontainers/go-digest",
    "@com_github_opencontainers_image_spec//:notices": "github.com/opencontainers/image-spec",
    "@com_github_opencontainers_runtime_spec//:notices": "github.com/opencontainers/runtime-spec",
    "@com_github_opencontainers_selinux//:notices": "github.com/opencontainers/selinux",
    "@com_github_pelletier_go_toml_v2//:notices": "github.com/pelletier/go-toml/v2",
    "@com_github_petermattis_goid//:notices": "github.com/petermattis/goid",
    "@com_github_pkg_errors//:notices": "github.com/pkg/errors",
    "@com_github_prometheus_client_golang//:notices": "github.com/prometheus/client_golang",
    "@com_github_prometheus_client_model//:notices": "github.com/prometheus/client_model",
    "@com_github_prometheus_common//:notices": "github.com/prometheus/common",
    "@com_github_prometheus_procfs//:notices": "github.com/prometheus/procfs",
    "@com_github_russross_blackfriday_v2//:notices": "github.com/russross/blackfriday/v2",
    "@com_github_sasha_s_go_deadlock//:notices": "github.com/sasha-s/go-deadlock",
    "@com_github_sirupsen_logrus//:notices": "github.com/sirupsen/logrus",
    "@com_github_tetratelabs_wazero//:notices": "github.com/tetratelabs/wazero",
    "@com_github_urfave_cli_v2//:notices": "github.com/urfave/cli/v2",
    "@com_github_x448_float16//:notices": "github.com/x448/float16",
    "@com_github_xrash_smetrics//:notices": "github.com/xrash/smetrics",
    "@in_gopkg_inf_v0//:notices": "gopkg.in/inf.v0",
    "@in_yaml_go_yaml_v2//:notices": "go.yaml.in/yaml/v2",
    "@in_yaml_go_yaml_v3//:notices": "go.yaml.in/yaml/v3",
    "@io_cncf_tags_container_device_interface//:notices": "tags.cncf.io/container-device-interface",
    "@io_cncf_tags_container_device_interface_specs_go//:notices": "tags.cncf.io/container-device-interface/specs-go",
    "@io_etcd_go_bbolt//:notices": "go.etcd.io/bbolt",
    "@io_k8s_api//:notices": "k8s.io/api",
    "@io_k8s_apimachinery//:notices": "k8s.io/apimachinery",
    "@io_k8s_client_go//:notices": "k8s.io/client-go",
    "@io_k8s_cri_api//:notices": "k8s.io/cri-api",
    "@io_k8s_cri_streaming//:notices": "k8s.io/cri-streaming",
    "@io_k8s_klog_v2//:notices": "k8s.io/klog/v2",
    "@io_k8s_kube_openapi//:notices": "k8s.io/kube-openapi",
    "@io_k8s_sigs_json//:notices": "sigs.k8s.io/json",
    "@io_k8s_sigs_randfill//:notices": "sigs.k8s.io/randfill",
    "@io_k8s_sigs_structured_merge_diff_v6//:notices": "sigs.k8s.io/structured-merge-diff/v6",
    "@io_k8s_sigs_yaml//:notices": "sigs.k8s.io/yaml",
    "@io_k8s_streaming//:notices": "k8s.io/streaming",
    "@io_k8s_utils//:notices": "k8s.io/utils",
    "@io_opentelemetry_go_auto_sdk//:notices": "go.opentelemetry.io/auto/sdk",
    "@io_opentelemetry_go_contrib_instrumentation_google_golang_org_grpc_otelgrpc//:notices": "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
    "@io_opentelemetry_go_contrib_instrumentation_net_http_otelhttp//:notices": "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
    "@io_opentelemetry_go_otel//:notices": "go.opentelemetry.io/otel",
    "@io_opentelemetry_go_otel_exporters_otlp_otlptrace//:notices": "go.opentelemetry.io/otel/exporters/otlp/otlptrace",
    "@io_opentelemetry_go_otel_exporters_otlp_otlptrace_otlptracegrpc//:notices": "go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc",
    "@io_opentelemetry_go_otel_log//:notices": "go.opentelemetry.io/otel/log",
    "@io_opentelemetry_go_otel_metric//:notices": "go.opentelemetry.io/otel/metric",
    "@io_opentelemetry_go_otel_sdk//:notices": "go.opentelemetry.io/otel/sdk",
    "@io_opentelemetry_go_otel_trace//:notices": "go.opentelemetry.io/otel/trace",
    "@io_opentelemetry_go_proto_otlp//:notices": "go.opentelemetry.io/proto/otlp",
    "@org_golang_google_genproto_googleapis_api//:notices": "google.golang.org/genproto/googleapis/api",
    "@org_golang_google_genproto_googleapis_rpc//:notices": "google.golang.org/genproto/googleapis/rpc",
    "@org_golang_google_grpc//:notices": "google.golang.org/grpc",
    "@org_golang_google_protobuf//:notices": "google.golang.org/protobuf",
    "@org_golang_x_mod//:notices": "golang.org/x/mod",
    "@org_golang_x_net//:notices": "golang.org/x/net",
    "@org_golang_x_oauth2//:notices": "golang.org/x/oauth2",
    "@org_golang_x_sync//:notices": "golang.org/x/sync",
    "@org_golang_x_sys//:notices": "golang.org/x/sys",
    "@org_golang_x_term//:notices": "golang.org/x/term",
    "@org_golang_x_text//:notices": "golang.org/x/text",
    "@org_golang_x_time//:notices": "golang.org/x/time",
    "@org_uber_go_goleak//:notices": "go.uber.org/goleak",
}
