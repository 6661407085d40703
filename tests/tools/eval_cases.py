# tests/tools/eval_cases.py -- mhc-eval: types, strides, shapes, reports.
import json
import os
import threading

import numpy as np

import reference as ref
from support import ToolCase


class Types(ToolCase):
    """expand_fwd copies, so its result shows how data are rounded and widened."""

    def special(self):
        ties = np.ldexp(1 + np.arange(1, 64, 2) / 512, 3)      # half way between two bf16, and between two fp16 below 2^-14
        subnormal = np.ldexp(np.arange(1, 200) / 8, -24)       # fp16 subnormals and their ties
        edges = [0.0, -0.0, np.inf, -np.inf, np.nan, 65504, 65519.99, 65520, -70000, 3.3e38, 2.0 ** -25, 1.5 * 2.0 ** -25, 1e-40]
        fp16_ties = 1 + (np.arange(64) * 2 + 1) * 2.0 ** -11
        return np.concatenate([ties, subnormal, edges, fp16_ties, self.normal(2000, scale=100)]).astype(np.float32)[None, :]

    def test_data_are_rounded_to_nearest_even_and_widened_exactly(self):
        h = self.special()
        with np.errstate(over="ignore"):
            expected = {"fp32": h, "fp16": h.astype(np.float16).astype(np.float32), "bf16": ref.to_bf16(h)}
        for dtype, values in expected.items():
            out, _ = self.evaluate("expand_fwd", {"h": h}, "n_streams=2", f"dtype={dtype}")
            for stream in (0, 1):
                same = (out["x"][:, stream] == values) | (np.isnan(out["x"][:, stream]) & np.isnan(values))
                self.assertTrue(same.all(), f"{dtype}: {h[~same][:5]}")
                self.assertTrue(np.array_equal(np.signbit(out["x"][:, stream]), np.signbit(values)))

    def test_coefficients_stay_float32(self):
        x, pre = np.ones((1, 1, 8), np.float32), np.float32([[1 + 2.0 ** -20]])
        out, _ = self.evaluate("apply_mix_fwd", {"x": x, "pre": pre * 3}, "dtype=fp32")
        self.assertTrue((out["layer_input"] == pre * 3).all())


class Layouts(ToolCase):
    def post_inputs(self, tokens=5, n=4, channels=24):
        return {"y": self.normal(tokens, channels), "x": self.normal(tokens, n, channels), "post": self.normal(tokens, n),
                "mix": self.normal(tokens, n, n)}

    def test_strides_change_no_bit(self):
        inputs = self.post_inputs()
        for dtype in ("fp32", "bf16"):
            dense, _ = self.evaluate("post_fwd", inputs, f"dtype={dtype}")
            for strides in (("token_stride=128",), ("stream_stride=32", "token_stride=128"), ("token_stride=24", "stream_stride=120"),
                            ("token_stride=101", "stream_stride=25")):
                strided, _ = self.evaluate("post_fwd", inputs, f"dtype={dtype}", *strides)
                self.assertTrue(np.array_equal(dense["out"], strided["out"]), (dtype, strides))

    def test_every_alignment_changes_no_bit(self):
        inputs = self.post_inputs(channels=40)
        dense, _ = self.evaluate("post_fwd", inputs, "dtype=fp16")
        for alignment in (16, 4, 2):
            other, _ = self.evaluate("post_fwd", inputs, "dtype=fp16", f"alignment_bytes={alignment}")
            self.assertTrue(np.array_equal(dense["out"], other["out"]), alignment)

    def test_an_input_may_repeat_rows(self):
        row = self.normal(24)
        x, pre = np.broadcast_to(row, (5, 3, 24)), self.normal(5, 3)
        out, _ = self.evaluate("apply_mix_fwd", {"x": x, "pre": pre}, "token_stride=0", "stream_stride=0")
        self.assertLess(ref.relative_norm(out["layer_input"], ref.apply_mix(x, pre)), 1e-5)

    def test_no_tokens(self):
        out, report = self.evaluate("post_fwd", self.post_inputs(tokens=0))
        self.assertEqual(out["out"].shape, (0, 4, 24))
        self.assertEqual(report["outputs"]["out"]["shape"], [0, 4, 24])

    def test_one_of_everything(self):
        out, _ = self.evaluate("pre_fwd", {"x": self.normal(1, 1, 1), "fn": self.normal(3, 1), "scale": self.normal(3),
                                           "base": self.normal(3)})
        self.assertEqual(out["mix"].shape, (1, 1, 1))
        self.assertAlmostEqual(float(out["mix"][0, 0, 0]), 1.0, places=6)

    def test_a_token_is_the_same_alone_and_in_a_batch(self):
        inputs = self.post_inputs()
        batch, _ = self.evaluate("post_fwd", inputs, "dtype=bf16")
        alone, _ = self.evaluate("post_fwd", {name: array[3:4] for name, array in inputs.items()}, "dtype=bf16")
        self.assertTrue(np.array_equal(batch["out"][3:4], alone["out"]))


class Reports(ToolCase):
    def test_origin_is_compiled_then_user(self):
        cache, h = self.path("cache"), {"h": self.normal(2, 8)}
        for origin in ("compiled", "user"):
            _, report = self.evaluate("expand_fwd", h, "n_streams=4", cache=cache)
            self.assertEqual([kernel["origin"] for kernel in report["kernels"]], [origin])
        self.assertEqual(report["operator"], "expand_fwd")
        self.assertTrue(report["target"].startswith("host"))
        self.assertGreaterEqual(report["milliseconds"], 0)
        kernel = report["kernels"][0]
        self.assertRegex(kernel["symbol"], r"^mhc_")
        self.assertRegex(kernel["key"], r"^[0-9a-f]{64}$")
        self.assertIn("clang", kernel["compiler"])

    def test_cache_dir_and_strict_flags(self):
        h, cache = self.save("h", self.normal(2, 8)), self.path("flagged")
        call = ["mhc-eval", "expand_fwd", "--target", "host", "--in", h, "--set", "n_streams=3", "--out-dir", self.path("out"),
                "--cache-dir", cache]
        self.bad(1, "expand", *call, "--strict")
        self.assertFalse(os.path.exists(self.path("out")))
        self.good(*call)
        self.assertTrue(os.path.exists(cache))
        self.assertIn("user", self.good(*call, "--strict"))

    def test_preset_is_applied_first_wherever_it_stands(self):
        logits = {"logits": self.normal(3, 4, 4)}
        one, _ = self.evaluate("sinkhorn_fwd", logits, "sinkhorn_iters=3", "preset=deepseek")
        two, _ = self.evaluate("sinkhorn_fwd", logits, "preset=deepseek", "sinkhorn_iters=3")
        self.assertTrue(np.array_equal(one["mix"], two["mix"]))
        expected = ref.sinkhorn(logits["logits"], dict(ref.PRESETS["deepseek"], iters=3))
        self.assertLess(ref.relative_norm(one["mix"], expected), 2e-6)

    def test_list_names_every_operator_with_tensors_and_options(self):
        table = {o["name"]: o for o in self.good_json("mhc-eval", "--list")["operators"]}
        self.assertEqual(list(table), ["sinkhorn_fwd", "rmsnorm_fwd", "apply_mix_fwd", "expand_fwd", "post_fwd", "pre_fwd",
                                       "static_layer_fwd", "dynamic_layer_fwd", "post_pre_fwd", "head_fwd", "pre_project_fwd",
                                       "split_mixes_fwd", "coeffs_fwd", "pre_big_fuse",
                                       "sinkhorn_bwd", "rmsnorm_bwd", "apply_mix_bwd", "expand_bwd", "post_bwd", "pre_bwd",
                                       "static_layer_bwd", "dynamic_layer_bwd", "post_pre_bwd", "head_bwd", "pre_project_bwd", "split_mixes_bwd", "coeffs_bwd",
                                       "broadcast_pre_fwd", "delayed_pre_fwd", "post_head_fwd", "multilayer_recompute", "rmsnorm_matmul_fwd",
                                       "rmsnorm_matmul_bwd", "post_head_bwd"])
        pre = table["pre_fwd"]
        self.assertEqual([t["name"] for t in pre["inputs"]],
                         ["x", "fn", "scale", "base", "norm_weight", "fn_norm_weight", "num_valid_tokens"])
        self.assertEqual([t["name"] for t in pre["outputs"]], ["layer_input", "pre", "post", "mix"])
        self.assertEqual([t["name"] for t in pre["inputs"] if t["optional"]],
                         ["norm_weight", "fn_norm_weight", "num_valid_tokens"])
        self.assertIn("sinkhorn_eps_mode", [o["name"] for o in pre["options"]])
        self.assertIn("token_stride", [o["name"] for o in table["post_fwd"]["options"]])
        text = self.good("mhc-eval", "--list")
        for name in table:
            self.assertIn(name, text)

    def test_a_plain_run_says_what_it_did(self):
        text = self.good("mhc-eval", "expand_fwd", "--target", "host", "--in", self.save("h", self.normal(2, 8)), "--set",
                         "n_streams=4", "dtype=bf16", "--out-dir", self.path("deep/er"))
        self.assertIn("expand_fwd on host", text)
        self.assertEqual(os.listdir(self.path("deep/er")), ["x.npy"])

    def test_other_npy_versions_and_pipes_are_read(self):
        h = self.normal(2, 8)
        with open(self.path("v2.npy"), "wb") as file:
            np.lib.format.write_array(file, h, version=(2, 0))
        os.mkfifo(self.path("pipe"))
        with open(self.path("v2.npy"), "rb") as file:
            whole = file.read()

        def feed():
            with open(self.path("pipe"), "wb") as pipe:
                pipe.write(whole)

        feeder = threading.Thread(target=feed)
        feeder.start()
        results = []
        for source in ("pipe", "v2.npy"):
            self.good("mhc-eval", "expand_fwd", "--target", "host", "--in", "h=" + self.path(source), "--set", "n_streams=1",
                      "--out-dir", self.path("out"))
            results.append(np.load(self.path("out/x.npy")))
        feeder.join()
        self.assertTrue(all(np.array_equal(r[:, 0], h) for r in results))

    def test_help_and_version(self):
        for tool in ("mhc-eval", "mhc-show", "mhc-cache", "mhc-prebuild"):
            self.assertRegex(self.good(tool, "--version"), rf"^{tool} \d+\.\d+\.\d+\n$")
            text = self.good(tool, "--help")
            self.assertIn("Example:", text)
            self.assertIn("Exit codes:", text)
            self.assertTrue(json.dumps(text).isascii())
