# tests/tools/show_cases.py -- mhc-show: enough to launch a code object with any other loader, and what it says is true.
import os
import re

from support import ToolCase

OPERATORS = ("sinkhorn_fwd", "rmsnorm_fwd", "apply_mix_fwd", "expand_fwd", "post_fwd", "pre_fwd", "static_layer_fwd",
             "dynamic_layer_fwd", "post_pre_fwd", "head_fwd", "pre_project_fwd", "split_mixes_fwd", "coeffs_fwd", "pre_big_fuse",
             "sinkhorn_bwd", "rmsnorm_bwd", "apply_mix_bwd", "expand_bwd", "post_bwd", "pre_bwd",
             "static_layer_bwd", "dynamic_layer_bwd", "post_pre_bwd", "head_bwd", "pre_project_bwd", "split_mixes_bwd", "coeffs_bwd",
             "broadcast_pre_fwd", "delayed_pre_fwd", "post_head_fwd", "multilayer_recompute", "rmsnorm_matmul_fwd",
             "rmsnorm_matmul_bwd", "post_head_bwd")
SIZES = {"i32": 4, "i64": 8}


class Show(ToolCase):
    def asked(self, op, target="gfx942", hidden_dim=256):
        return ["mhc-show", "--op", op, "--hidden-dim", hidden_dim, "--n-streams", 4, "--dtype", "bf16", "--target", target]

    def check_arguments(self, launch):
        end = 0
        for arg in launch["args"]:
            self.assertEqual(arg["offset"] % arg["size"], 0)
            self.assertGreaterEqual(arg["offset"], end)
            end = arg["offset"] + arg["size"]
            self.assertIn(arg["kind"], ("in", "out", "workspace", "scalar"))
            if arg["kind"] == "scalar":
                self.assertIsInstance(arg["value"], int)
                self.assertEqual(arg["size"], SIZES[arg["type"]])
            else:
                self.assertEqual(arg["size"], 8)  # a pointer
                self.assertIsInstance(arg["bytes"], int)
        self.assertEqual(launch["kernarg_bytes"], end)

    def test_every_operator_is_launchable_from_its_json(self):
        for op in OPERATORS:
            shown = self.good_json(*self.asked(op), "--tokens", "33")
            self.assertEqual((shown["operator"], shown["target"], shown["tokens"]), (op, "gfx942", 33))
            self.assertGreaterEqual(len(shown["launches"]), 1)
            uses_workspace = False
            for launch in shown["launches"]:
                self.check_arguments(launch)
                self.assertGreater(launch["grid"], 0)
                self.assertEqual(launch["block"] % launch["wave_size"], 0)
                self.assertRegex(launch["key"], r"^[0-9a-f]{64}$")
                self.assertEqual((launch["wave_size"], launch["vgpr_spills"], launch["scratch_bytes"]), (64, 0, 0))
                self.assertGreater(launch["vgprs"], 0)
                self.assertTrue(1 <= launch["waves_per_simd"] <= 16)
                self.assertIn(launch["origin"], ("compiled", "user"))
                for name in ("agprs", "sgprs", "lds_bytes", "lds_bytes_dynamic", "sgpr_spills", "compiler", "compile_ms", "plan", "symbol"):
                    self.assertIn(name, launch)
                uses_workspace |= any(arg["name"] == "workspace" for arg in launch["args"])
            self.assertEqual(shown["workspace_bytes"] > 0, uses_workspace)

    def test_the_arguments_are_the_operators_tensors(self):
        shown = self.good_json(*self.asked("post_fwd"), "--tokens", "8")
        args = {arg["name"]: arg for launch in shown["launches"] for arg in launch["args"]}
        sizes = {name: args[name]["bytes"] for name in ("y", "x", "post", "mix", "out")}
        self.assertEqual(sizes, {"y": 8 * 256 * 2, "x": 8 * 4 * 256 * 2, "post": 8 * 4 * 4, "mix": 8 * 16 * 4, "out": 8 * 4 * 256 * 2})
        self.assertEqual([args[name]["kind"] for name in ("y", "x", "post", "mix", "out")], ["in"] * 4 + ["out"])
        self.assertEqual(args["tokens"]["value"], 8)
        self.assertEqual((args["x_token_stride"]["value"], args["x_stream_stride"]["value"]), (1024, 256))

    def test_a_whole_keeps_in_the_workspace_what_stages_take(self):
        shown = self.good_json(*self.asked("post_pre_fwd"), "--tokens", "8")
        project = shown["launches"][1]["args"]
        self.assertEqual([arg["name"] for arg in project[:4]], ["out", "fn", "workspace", "workspace"])
        self.assertEqual([arg["workspace_offset"] for arg in project[2:4]], [0, 8 * 24 * 4])
        self.assertEqual(shown["workspace_bytes"], 8 * 25 * 4)
        self.assertIn(f"workspace + {8 * 24 * 4}", self.good(*self.asked("post_pre_fwd"), "--tokens", "8"))

    def test_no_tokens_launch_nothing(self):
        shown = self.good_json(*self.asked("pre_fwd"), "--tokens", "0")
        self.assertEqual([launch["grid"] for launch in shown["launches"]], [0] * len(shown["launches"]))
        self.assertEqual(shown["workspace_bytes"], 0)

    def test_options_are_in_the_key(self):
        keys = {self.good_json(*self.asked("sinkhorn_fwd"), "--set", setting)["launches"][0]["key"]
                for setting in ("preset=paper", "preset=deepseek", "sinkhorn_iters=3")}
        self.assertEqual(len(keys), 3)

    def test_targets_that_compile_here(self):
        info = self.good_json("mhc-show", "--toolchains")
        able = [t["name"] for t in info["targets"] if t["can_compile"]]
        self.assertIn("gfx942", able)
        self.assertIn("gfx1201", able)
        waves = {"gfx90a": 64, "gfx1100": 32}
        for target, wave in waves.items():
            launch = self.good_json(*self.asked("expand_fwd", target))["launches"][0]
            self.assertEqual(launch["wave_size"], wave)
        for target in info["targets"]:
            self.assertTrue(target["can_compile"] and target["can_run"] or target["why_not"], target)
        for target in [t["name"] for t in info["targets"] if not t["can_compile"]]:
            self.bad(2, target, *self.asked("expand_fwd", target))
            self.assertIn("expand", self.good(*self.asked("expand_fwd", target), "--source"))  # text needs no compiler

    def test_toolchains_for_people(self):
        text = self.good("mhc-show", "--toolchains")
        self.assertIn("clang", text)
        self.assertIn("gfx942", text)

    def test_support_is_the_page_that_ships(self):
        with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "SUPPORT.md")) as page:
            self.assertEqual(self.good("mhc-show", "--support"), page.read())
        support = self.good_json("mhc-show", "--support")
        self.assertEqual([one["operator"] for one in support["operators"]], list(OPERATORS))
        self.assertIn("gfx942", [one["name"] for one in support["targets"]])
        for one in support["operators"]:
            self.assertEqual(set(one["refused"]), {target["name"] for target in support["targets"]})
        self.assertEqual(len(support["limits"]), 4)  # below and above, of both sizes

    def test_source_is_what_the_compiler_sees(self):
        text = self.good(*self.asked("post_fwd"), "--source")
        symbol = re.search(r"\bmhc_post_n4_c256_bf16_[0-9a-f]{8}\b", text)
        self.assertIsNotNone(symbol)
        self.assertNotIn("${", text)
        shown = self.good_json(*self.asked("post_fwd"), "--source")
        self.assertEqual(len(shown["launches"]), 1)
        self.assertIn(shown["launches"][0]["symbol"], shown["launches"][0]["source"])

    def test_assembly(self):
        self.assertIn("s_endpgm", self.good(*self.asked("post_fwd"), "--asm"))
        self.assertIn("ret", self.good(*self.asked("expand_fwd", "host"), "--asm"))

    def test_extract_writes_one_file_a_launch(self):
        one = self.good(*self.asked("post_fwd"), "--extract", self.path("post.co"))
        self.assertEqual(one, self.path("post.co") + "\n")
        shown = self.good_json(*self.asked("pre_fwd"), "--extract", self.path("pre.co"))
        files = [launch["code_object"] for launch in shown["launches"]]
        if len(files) > 1:
            self.assertEqual(files, [self.path(f"pre.{i}.co") for i in range(len(files))])
        for file, launch in [(self.path("post.co"), None), *zip(files, shown["launches"])]:
            with open(file, "rb") as stream:
                code = stream.read()
            self.assertEqual(code[:4], b"\x7fELF")
            if launch:
                self.assertIn(launch["symbol"].encode(), code)
                self.assertEqual(len(code), launch["code_object_bytes"])
        self.assertEqual([name for name in os.listdir(self.dir) if name.endswith(".tmp")], [])

    def test_a_roofline_is_its_counts_over_what_the_processor_does(self):
        shown = self.good_json(*self.asked("pre_fwd", hidden_dim=64), "--tokens", "16", "--roofline")
        counts, on, us = shown["counts"], shown["processor"], shown["us"]
        cycles = on["compute_units"] * on["clock_mhz"]  # a microsecond
        vector = counts["vector"] * on["vector_cycles"] + counts["transcendental"] * on["transcendental_cycles"]
        self.assertAlmostEqual(us["memory"], counts["lines_missed"] * shown["line_bytes"] / (1e3 * on["memory_gbps"]))
        self.assertAlmostEqual(us["vector"], vector / (cycles * on["simds_of_unit"]))
        self.assertAlmostEqual(us["matrix"], counts["matrix"] * 8192 / (1e6 * on["matrix_tflops"]))
        self.assertAlmostEqual(us["lds"], counts["lds_cycles"] / cycles)
        self.assertGreater(counts["lds_cycles"], counts["lds_conflict_cycles"])
        self.assertEqual(shown["predicted_us"], max(us.values()))
        self.assertEqual(us[shown["bound"]], shown["predicted_us"])
        self.assertEqual((on["name"], on["compute_units"]), ("gfx942", 304))
        launches = self.good_json(*self.asked("pre_fwd", hidden_dim=64))["launches"]
        self.assertEqual([launch["symbol"] for launch in shown["launches"]], [launch["symbol"] for launch in launches])
        self.assertIn("bound by ", self.good(*self.asked("pre_fwd", hidden_dim=64), "--tokens", "16", "--roofline"))
        for target, tokens, words in (("host", 8, ["host", "AMD"]), ("gfx942", 0, ["--tokens 0", "1 or more"])):
            self.bad(2, words, *self.asked("pre_fwd", target, 64), "--tokens", tokens, "--roofline")

    def test_a_roofline_of_another_product(self):
        asked = ["mhc-show", "--op", "post_fwd", "--hidden-dim", "64", "--tokens", "16", "--roofline"]
        whole, part = (self.good_json(*asked, "--gpu", gpu) for gpu in ("mi300x", "mi300x-cpx"))
        self.assertEqual(whole["processor"], self.good_json(*asked, "--target", "gfx942")["processor"])
        self.assertEqual(whole["target"], "emu:gfx942")
        self.assertEqual((part["processor"]["gpu"], part["processor"]["compute_units"]), ("mi300x-cpx", 38))
        self.assertEqual(part["last_level_cache_bytes"], 32 << 20)
        self.assertEqual(part["counts"], whole["counts"])
        for resource, most in (("memory", 5300 / 662), ("vector", 8), ("lds", 8)):
            self.assertAlmostEqual(part["us"][resource], whole["us"][resource] * most)
        # The plan is for the product's compute units: 76 work-groups of a projection, not 128, ask for fn.
        projection = ["mhc-show", "--op", "pre_fwd", "--hidden-dim", "64", "--tokens", "4096", "--roofline"]
        whole, part = (self.good_json(*projection, "--gpu", gpu)["counts"] for gpu in ("mi300x", "mi300x-cpx"))
        self.assertGreater(whole["shared_bytes"], part["shared_bytes"])
        self.bad(2, ["--gpu mi1", "known are", "mi308x"], *asked, "--gpu", "mi1")
        self.bad(2, ["--gpu mi210 has gfx90a, not gfx942"], *asked, "--gpu", "mi210", "--target", "gfx942")
        self.bad(2, ["--gpu requires --roofline"], *asked[:-1], "--gpu", "mi210")

    def test_the_table_for_people(self):
        text = self.good(*self.asked("pre_fwd"))
        for word in ("launch 0", "VGPRs", "workspace", "geometry", "offset", "layer_input", "waves/SIMD"):
            self.assertIn(word, text)
        host = self.good(*self.asked("pre_fwd", "host"))
        self.assertIn("launch 0", host)
        self.assertNotIn("VGPRs", host)
        self.assertIn("arguments", host)
