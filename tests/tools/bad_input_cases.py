# tests/tools/bad_input_cases.py -- bad input to every tool: one clear line on standard error and the documented exit code.
import os
import resource
import signal

import numpy as np

from support import ToolCase


class Files(ToolCase):
    """expand_fwd takes one array, h [T,C]."""

    def refused(self, file, words, code=2):
        self.bad(code, words, "mhc-eval", "expand_fwd", "--target", "host", "--in", f"h={file}", "--set", "n_streams=2", "--out-dir",
                 self.path("out"))
        self.assertFalse(os.path.exists(self.path("out")), "nothing partial is left behind")

    def saved(self, array):
        np.save(self.path("a.npy"), array)
        return self.path("a.npy")

    def test_missing_file(self):
        self.refused(self.path("none.npy"), ["none.npy", "No such file"])

    def test_a_folder(self):
        self.refused(self.dir, "is a directory")

    def test_an_unreadable_kind_of_file(self):
        self.refused(self.write("a.npy", "1 2 3\n"), ["a.npy", "no .npy file", "numpy.save"])
        self.refused(self.write("a.npy", ""), "no .npy file")

    def test_other_dtypes(self):
        advice = "numpy.ascontiguousarray(a, dtype=numpy.float32)"
        for dtype, word in ((np.float64, "float64 ('<f8')"), (np.float16, "float16"), (np.int32, "int32"), (">f4", "big-endian"),
                            (np.complex64, "complex64"), (np.bool_, "bool")):
            self.refused(self.saved(np.ones((2, 3), dtype)), ["a.npy", word, advice])
        self.refused(self.saved(np.ones(2, [("a", "f4"), ("b", "i4")])), "structured")

    def test_fortran_order(self):
        self.refused(self.saved(np.asfortranarray(np.ones((2, 3), np.float32))), ["fortran_order", "numpy.ascontiguousarray"])

    def test_truncated_at_every_length(self):
        with open(self.saved(np.ones((2, 3), np.float32)), "rb") as file:
            whole = file.read()
        for size in (3, 6, 8, 9, 10, 40, len(whole) - 24, len(whole) - 1):
            self.refused(self.write("a.npy", whole[:size]), "a.npy")
        self.refused(self.write("a.npy", whole + b"more"), "more bytes")

    def test_hostile_headers(self):
        for shape in ("(4611686018427387904, 4)", "(99999999999999999999,)", "(-1, 3)", "(1099511627776, 3)", "(2"):
            text = ("{'descr': '<f4', 'fortran_order': False, 'shape': %s}" % shape).encode()
            self.refused(self.write("a.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24)), "a.npy")

    def test_wrong_shapes_name_tensor_shape_and_reason(self):
        x, y = self.save("x", self.normal(2, 4, 8)), self.save("y", self.normal(2, 8))
        for name, shape, words in (("post", (2, 5), ["post", "[2,5]", "[2,4]", "n = 4"]), ("post", (3, 4), ["[3,4]", "T = 2"]),
                                   ("post", (2, 4, 1), ["post", "[2,4,1]", "[T,n] or [n]"]), ("post", (5,), ["[5]", "[4]"]),
                                   ("mix", (2, 4, 5), ["mix", "[2,4,5]", "[2,4,4]"]), ("mix", (4, 5), ["mix", "[4,5]", "[4,4]"]),
                                   ("mix", (), ["mix", "[]"])):
            inputs = {"post": self.save("post", self.normal(2, 4)), "mix": self.save("mix", self.normal(2, 4, 4))}
            inputs[name] = self.save(name, self.normal(*shape))
            self.bad(2, words, "mhc-eval", "post_fwd", "--target", "host", "--in", y, x, *inputs.values(), "--out-dir",
                     self.path("out"))

    def test_sizes_that_cannot_be(self):
        for shape, words in (((2, 0), "hidden_dim = 0"), ((2,), "[T,C]")):
            self.refused(self.save("h", self.normal(*shape)).split("=", 1)[1], words)
        for streams, words in (("0", "n_streams = 0"), ("33", "1 to 32"), ("-1", "n_streams"), ("x", "n_streams"), ("1e1", "n_streams")):
            self.bad(2, words, "mhc-eval", "expand_fwd", "--target", "host", "--in", self.save("h", self.normal(2, 8)), "--set",
                     f"n_streams={streams}", "--out-dir", self.path("out"))
        x, fn = self.save("x", self.normal(2, 4, 8)), self.save("fn", self.normal(25, 32))
        self.bad(2, ["rows = 25", "1 to 24"], "mhc-eval", "pre_project_fwd", "--target", "host", "--in", x, fn, "--out-dir",
                 self.path("out"))
        for splits, words in (("0", "1 to 64"), ("65", "1 to 64"), ("x", "whole number")):
            self.bad(2, ["splits", splits, words], "mhc-eval", "pre_project_fwd", "--target", "host", "--in", x, fn, "--set",
                     f"splits={splits}", "--out-dir", self.path("out"))
        stage = [self.save("proj", self.normal(2, 2, 24)), self.save("sqsum", self.normal(2, 2)), self.save("scale", self.normal(3)),
                 self.save("base", self.normal(24))]
        for settings, words in ((["n_streams=4"], "hidden_dim"), (["hidden_dim=8"], "n_streams"),
                                (["n_streams=4", "hidden_dim=8", "splits=2"], "splits")):
            self.bad(2, words, "mhc-eval", "coeffs_fwd", "--target", "host", "--in", *stage, "--set", *settings, "--out-dir",
                     self.path("out"))
        self.bad(2, ["n_streams = 40", "1 to 32"], "mhc-eval", "sinkhorn_fwd", "--target", "host", "--in",
                 self.save("logits", self.normal(2, 40, 40)), "--out-dir", self.path("out"))


class Arguments(ToolCase):
    def setUp(self):
        super().setUp()
        self.x, self.pre = self.save("x", self.normal(2, 4, 8)), self.save("pre", self.normal(2, 4))

    def refused(self, words, *args, code=2, op="apply_mix_fwd", inputs=None, out=None):
        given = [self.x, self.pre] if inputs is None else inputs
        self.bad(code, words, "mhc-eval", op, "--in", *given, "--out-dir", out or self.path("out"), *args)
        self.assertFalse(os.path.exists(self.path("out")))

    def test_options(self):
        host = ["--target", "host", "--set"]
        for setting, words in (("colour=red", ["colour", "options are", "sinkhorn_eps", "token_stride"]), ("preset=fancy", ["preset", "liger"]),
                               ("dtype=int8", ["dtype", "bf16"]), ("rms_eps=nan", "rms_eps"), ("rms_eps=-1", "rms_eps"),
                               ("rms_eps=inf", "rms_eps"), ("rms_eps=abc", "rms_eps"), ("sinkhorn_iters=1001", "1000"),
                               ("sinkhorn_iters=2.5", "sinkhorn_iters"), ("post_mult=nan", "post_mult"), ("layout=sideways", "src_dst"),
                               ("projection=fp8", "tf32"), ("alignment_bytes=3", "alignment_bytes"), ("alignment_bytes=2", "alignment_bytes"),
                               ("n_streams=3", ["x", "[2,4,8]", "n = 3"]), ("hidden_dim=9", ["x", "C = 9"]), ("preset", "NAME=VALUE"),
                               ("=paper", "NAME=VALUE"), ("preset=", "NAME=VALUE"), ("reference_rounding=on", "reference_rounding"),
                               ("norm_weight=on", "norm_weight"), ("token_stride=-3", "token_stride"), ("token_stride=two", "token_stride"),
                               ("stream_stride=99999999999", "stream_stride"), ("token_stride=1125899906842624", "token_stride"),
                               ("token_stride=99999999999999999999", "token_stride"), ("token_stride=3", "share elements")):
            self.refused(words, *host, setting)
        self.refused(["sinkhorn_order", "softmax"], *host, "sinkhorn_start=softmax")
        self.refused(["preset", "twice"], *host, "preset=paper", "preset=liger")
        self.refused(["token_stride", "multiples"], *host, "dtype=bf16", "alignment_bytes=16", "token_stride=33")

    def test_output_rows_may_not_overlap(self):
        h = [self.save("h", self.normal(3, 8))]
        for strides in (["token_stride=0"], ["token_stride=16"], ["stream_stride=7"], ["token_stride=31", "stream_stride=8"],
                        ["token_stride=12", "stream_stride=16"]):
            self.refused(["overlap", "output x"], "--target", "host", "--set", "n_streams=4", *strides, op="expand_fwd", inputs=h)

    def test_strides_want_a_tensor_that_has_them(self):
        self.refused("no [T,n,C] tensor", "--target", "host", "--set", "token_stride=9", op="sinkhorn_fwd",
                     inputs=[self.save("logits", self.normal(2, 3, 3))])

    def test_inputs(self):
        host = ["--target", "host"]
        self.refused(["lacks", "pre="], *host, inputs=[self.x])
        self.refused(["mhc-eval", "no input 'y'", "x, pre"], *host, inputs=[self.x, self.pre, "y=" + self.path("x.npy")])
        self.refused("no input 'layer_input'", *host, inputs=[self.x, self.pre, "layer_input=" + self.path("x.npy")])
        self.refused(["x", "twice"], *host, inputs=[self.x, self.pre, self.x])
        self.refused("NAME=VALUE", *host, inputs=[self.path("x.npy"), self.pre])
        self.refused(["n_streams", "--set n_streams=4"], *host, op="expand_fwd", inputs=[self.save("h", self.normal(2, 8))])

    def test_operators_targets_and_flags(self):
        self.refused(["unknown_fwd", "post_fwd"], "--target", "host", op="unknown_fwd")
        for target, words in (("gfx000", ["gfx000", "gfx942"]), ("toaster", "toaster"), ("gfx942", "gfx942"), ("", "--target"),
                              ("gfx942:bad+", "bad+")):
            self.refused(words, "--target", target)
        self.refused(["--backend", "hiprtc"], "--target", "host", "--backend", "gcc")
        self.refused("--nonsense", "--target", "host", "--nonsense")
        self.bad(2, "no operator", "mhc-eval", "--out-dir", self.path("out"))
        self.bad(2, "--out-dir", "mhc-eval", "apply_mix_fwd", "--target", "host", "--in", self.x, self.pre)
        self.bad(2, "--help", "mhc-eval", "apply_mix_fwd", "--out-dir")

    def test_out_dir_that_cannot_be(self):
        file = self.write("file", "not a folder")
        self.refused(["file", "no directory"], "--target", "host", out=file)
        self.refused(["file", "no directory"], "--target", "host", out=os.path.join(file, "below"))
        self.refused("/proc", "--target", "host", out="/proc/mhc", code=1)
        os.makedirs(self.path("taken/layer_input.npy"))
        self.refused("is a directory", "--target", "host", out=self.path("taken"))
        self.assertEqual(os.listdir(self.path("taken")), ["layer_input.npy"])

    def test_a_full_disk_leaves_nothing(self):
        def no_large_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))  # the database fits, the result does not

        h = self.save("h", self.normal(512, 1024))
        done = self.run_tool("mhc-eval", "expand_fwd", "--target", "host", "--in", h, "--set", "n_streams=1", "--out-dir",
                             self.path("out/below"), preexec_fn=no_large_files)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("mhc-eval: cannot write", done.stderr)
        self.assertIn("File too large", done.stderr)
        self.assertFalse(os.path.exists(self.path("out")))
        with open("/dev/full", "w") as full:
            done = self.run_tool("mhc-eval", "--list", stdout=full)
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output", done.stderr)

    def test_a_line_end_in_a_name_stays_one_line(self):
        self.refused("No such file", "--target", "host", inputs=["x=a\nb\x1b[31m.npy", self.pre])

    def test_environment(self):
        for name, value in (("MHC_LOG_LEVEL", "loud"), ("MHC_JIT_BACKEND", "gcc"), ("MHC_JIT_TIMEOUT_S", "soon")):
            self.bad(2, [name, value], "mhc-eval", "apply_mix_fwd", "--target", "host", "--in", self.x, self.pre, "--out-dir",
                     self.path("out"), env={name: value})


class OtherTools(ToolCase):
    def test_show(self):
        good = ["--op", "post_fwd", "--hidden-dim", "64", "--target", "gfx942"]
        for words, args in (("--op", ["--target", "gfx942"]), (["nope_fwd", "pre_fwd"], ["--op", "nope_fwd", "--target", "gfx942"]),
                            ("--hidden-dim", good[:2] + good[4:]), ("--target", good[:4]), ("hidden_dim", good[:3] + ["0"] + good[4:]),
                            ("hidden_dim", good[:3] + ["many"] + good[4:]), ("n_streams", good + ["--n-streams", "33"]),
                            ("dtype", good + ["--dtype", "fp8"]), (["colour", "options are"], good + ["--set", "colour=1"]),
                            ("twice", good + ["--dtype", "bf16", "--set", "dtype=fp16"]), ("gfx000", good[:5] + ["gfx000"]),
                            ("--tokens", good + ["--tokens", "-1"]), ("--tokens", good + ["--tokens", "lots"]),
                            ("excludes", good + ["--source", "--asm"]), ("no directory", good + ["--extract", "/dev/null/x"])):
            self.bad(2, words, "mhc-show", *args)

    def test_cache(self):
        garbage = self.write("garbage.db", "this is no database" * 100)
        for command in ("info", "list", "verify"):
            self.bad(2, "none.db", "mhc-cache", command, "--database", self.path("none.db"))
            self.bad(2, "garbage.db", "mhc-cache", command, "--database", garbage)
            self.bad(2, "empty.db", "mhc-cache", command, "--database", self.write("empty.db", ""))
        empty = self.path("empty")
        self.bad(2, "KEY", "mhc-cache", "show")
        self.bad(2, "abc", "mhc-cache", "show", "abc", cache=empty)
        self.bad(2, "zzzz", "mhc-cache", "show", "zzzz", cache=empty)
        self.bad(2, "abcd", "mhc-cache", "show", "abcd", cache=empty)
        self.bad(2, "--yes", "mhc-cache", "clear", cache=empty)
        self.bad(2, "user database", "mhc-cache", "clear", "--yes", "--database", garbage)
        self.bad(2, "no command", "mhc-cache")
        self.bad(2, "polish", "mhc-cache", "polish")

    def test_prebuild(self):
        for words, args in (("--level = '4'", ["--level", "4"]), ("--level = 'two'", ["--level", "two"]), ("--level", ["--level", "-1"]),
                            ("--jobs = '0'", ["--jobs", "0"]), ("--jobs", ["--jobs", "many"]), ("sideways", ["--operators", "sideways"]),
                            ("no tune kernels", ["--operators", "tune"]),
                            ("excludes", ["--operators", "forward", "--level", "2"]), ("--shapes", ["--shapes", self.path("none")])):
            self.bad(2, words, "mhc-prebuild", "--archs", "gfx942", "--out", self.path("out"), *args)
        for words, archs in ((["gfx000", "gfx942"], "gfx000"), ("native", "native"), ("gfx000", "gfx942;gfx000"), ("architecture", ";"),
                             ("bad+", "gfx942:bad+")):
            self.bad(3, words, "mhc-prebuild", "--archs", archs, "--level", "3", "--out", self.path("out"))
        self.assertFalse(os.path.exists(self.path("out")))

    def test_prebuild_environment(self):
        for name, value in (("PREBUILD_KERNELS", "9"), ("MHC_PREBUILD_KERNELS", "x"), ("MAX_JOBS", "all"), ("MHC_MAX_JOBS", "-2"),
                            ("MAX_JOBS", "2.5")):
            self.bad(2, [name, value], "mhc-prebuild", "--archs", "gfx942", "--out", self.path("out"), env={name: value})
        for name in ("GPU_ARCHS", "MHC_GPU_ARCHS"):
            self.bad(3, "gfx000", "mhc-prebuild", "--level", "3", "--out", self.path("out"), env={name: "gfx000"})

    def test_shapes_file(self):
        for line, words in (("hidden_dim=0", "hidden_dim"), ("n_streams=4", "hidden_dim is missing"), ("hidden_dim=64 colour=1", "colour"),
                            ("hidden_dim=64 hidden_dim=65", "twice"), ("hidden_dim=64 n_streams", "NAME=VALUE"),
                            ("hidden_dim=64 operators=tune", "no such kernels"), ("hidden_dim=64 operators=x_fwd", "x_fwd"),
                            ("hidden_dim=64 dtype=fp7", "fp7"), ("hidden_dim=64 norm_weight=on operators=post_fwd", "norm_weight")):
            file = self.write("shapes.txt", f"# shapes\nhidden_dim=64 operators=expand_fwd\n\n{line}\n")
            self.bad(2, [f"{file}:4: ", words], "mhc-prebuild", "--archs", "gfx942", "--shapes", file, "--out", self.path("out"))
        self.bad(2, "no shape", "mhc-prebuild", "--archs", "gfx942", "--shapes", self.write("none.txt", "# nothing\n"))
