# tests/tools/bench_cases.py -- mhc-bench: its rows, their arithmetic, comparisons and refusals. No time decides anything.
import json
import os
import re

from support import ToolCase

ROW_FIELDS = ["op", "tokens", "hidden_dim", "n_streams", "dtype", "target", "median_us", "p10_us", "p90_us", "floor_us", "ideal_bytes",
              "gbps", "share_of_copy"]
OPS = ["sinkhorn_fwd", "rmsnorm_fwd", "apply_mix_fwd", "expand_fwd", "post_fwd", "pre_fwd", "static_layer_fwd", "dynamic_layer_fwd",
       "post_pre_fwd", "head_fwd", "pre_project_fwd", "split_mixes_fwd", "coeffs_fwd", "pre_big_fuse",
       "sinkhorn_bwd", "rmsnorm_bwd", "apply_mix_bwd", "expand_bwd", "post_bwd", "pre_bwd",
       "static_layer_bwd", "dynamic_layer_bwd", "post_pre_bwd", "head_bwd", "pre_project_bwd", "split_mixes_bwd", "coeffs_bwd",
       "broadcast_pre_fwd", "delayed_pre_fwd", "post_head_fwd", "multilayer_recompute", "rmsnorm_matmul_fwd",
       "rmsnorm_matmul_bwd", "post_head_bwd"]
QUICK = ["--target", "host", "--warmup", "1", "--iters", "3"]
TINY = ["--tokens", "3", "--hidden-dim", "40"]


def shapes_of(report):
    return [(row["op"], row["tokens"], row["hidden_dim"], row["n_streams"], row["dtype"]) for row in report["rows"]]


class Rows(ToolCase):
    def bench(self, *args, quick=QUICK):
        return self.good_json("mhc-bench", *quick, *args)

    def test_fields_and_arithmetic(self):
        report = self.bench("--op", "all", *TINY)
        for field in ("version", "device", "rows"):
            self.assertIn(field, report)
        self.assertRegex(report["version"], r"^\d+\.\d+\.\d+$")
        self.assertRegex(report["date"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertGreater(report["copy_gbps"]["host"], 0)
        self.assertEqual([row["op"] for row in report["rows"]][:len(OPS)], OPS)
        for row in report["rows"]:
            self.assertEqual(list(row), ROW_FIELDS)
            self.assertGreater(row["p10_us"], 0)
            self.assertLessEqual(row["p10_us"], row["median_us"])
            self.assertLessEqual(row["median_us"], row["p90_us"])
            self.assertGreater(row["floor_us"], 0)
            self.assertIsInstance(row["ideal_bytes"], int)
            self.assertAlmostEqual(row["gbps"], row["ideal_bytes"] / row["median_us"] / 1e3, delta=1e-9 * row["gbps"])
            self.assertAlmostEqual(row["share_of_copy"], row["gbps"] / report["copy_gbps"]["host"], delta=1e-9)
            self.assertEqual((row["n_streams"], row["dtype"], row["target"]), (4, "bf16", "host"))

    def test_ideal_bytes(self):
        rows = {row["op"]: row for row in self.bench("--op", "post_fwd,pre_fwd", *TINY)["rows"]}
        self.assertEqual(rows["post_fwd"]["ideal_bytes"], 3 * (9 * 40 * 2 + 20 * 4))
        self.assertEqual(rows["pre_fwd"]["ideal_bytes"], 3 * (5 * 40 * 2 + 20 * 4) + 24 * 160 * 4 + 27 * 4)

    def test_rows_are_the_cross_product_in_order(self):
        report = self.bench("--op", "expand_fwd,rmsnorm_fwd", "--tokens", "1,3", "--hidden-dim", "8,24", "--n-streams", "2,4", "--dtype",
                            "bf16,fp32")
        expected = [(op, T, C, n, dtype) for op in ("expand_fwd", "rmsnorm_fwd") for T in (1, 3) for C in (8, 24) for n in (2, 4)
                    for dtype in ("bf16", "fp32")]
        self.assertEqual(shapes_of(report), expected)

    def test_default_rows(self):
        shapes = [(320, 1280), (512, 1920), (256, 2560)]
        report = self.bench("--op", "expand_fwd", quick=["--target", "host", "--warmup", "0", "--iters", "1"])
        self.assertEqual(shapes_of(report), [("expand_fwd", T, C, 4, "bf16") for T, C in shapes])
        report = self.bench("--op", "expand_fwd", "--tokens", "2")
        self.assertEqual([row["hidden_dim"] for row in report["rows"]], [1280, 1920, 2560])
        report = self.bench("--op", "expand_fwd", "--hidden-dim", "8")
        self.assertEqual([row["tokens"] for row in report["rows"]], [320, 512, 256])

    def test_default_operators(self):
        self.assertEqual([row["op"] for row in self.bench(*TINY)["rows"]], ["pre_fwd", "post_fwd"])

    def test_other_spellings_and_other_ways_to_write_a_list(self):
        expected = [("expand_fwd", T, C, 4, "bf16") for T in (1, 2) for C in (8, 16)]
        for tokens, dims in ((["--batch-sizes", "1,2"], ["--hidden-dims", "8,16"]), (["--tokens", "1", "2"], ["--hidden-dim", "8", "16"]),
                             (["--tokens=1,2"], ["--hidden-dims=8,16"])):
            self.assertEqual(shapes_of(self.bench("--op", "expand_fwd", *tokens, *dims)), expected)

    def test_settings_reach_the_operator(self):
        for setting, more in (("norm_weight=on", 40 * 4), ("preset=deepseek", 0), ("weight_dtype=bf16", -24 * 160 * 2)):
            row = self.bench("--op", "pre_fwd", *TINY, "--set", setting)["rows"][0]
            self.assertEqual(row["ideal_bytes"], 3 * (5 * 40 * 2 + 20 * 4) + 24 * 160 * 4 + 27 * 4 + more)

    def test_a_tail_and_one_channel(self):
        report = self.bench("--op", "post_fwd", "--tokens", "1,7", "--hidden-dim", "1,127", "--n-streams", "1,3")
        self.assertEqual(len(report["rows"]), 8)


class Comparisons(ToolCase):
    def bench(self, *args):
        return self.good_json("mhc-bench", *QUICK, "--op", "expand_fwd,post_fwd", *TINY, *args)

    def test_output_is_the_json_and_a_baseline_is_compared(self):
        file = self.path("first.json")
        self.assertIn("median us", self.good("mhc-bench", *QUICK, "--op", "expand_fwd", *TINY, "--output", file))
        with open(file) as stream:
            before = json.load(stream)
        self.assertEqual(list(before["rows"][0]), ROW_FIELDS)
        self.assertNotIn("speedup_to_baseline", before)

        now = self.bench("--baseline", file, "--output", self.path("a/folder/second.json"))
        self.assertEqual(now["baseline"], file)
        ratio = before["rows"][0]["median_us"] / now["rows"][0]["median_us"]
        self.assertAlmostEqual(now["speedup_to_baseline"][0], ratio, delta=1e-9 * ratio)
        self.assertIsNone(now["speedup_to_baseline"][1], "the earlier run had no post_fwd")
        with open(self.path("a/folder/second.json")) as stream:
            self.assertEqual(json.load(stream), now)
        text = self.good("mhc-bench", *QUICK, "--op", "expand_fwd", *TINY, "--baseline", file)
        self.assertIn("speed-up to baseline", text)
        self.assertEqual(sorted(os.listdir(self.dir)), ["a", "first.json"])

    def test_several_targets_are_compared_with_the_first(self):
        report = self.good_json("mhc-bench", "--target", "host,host", *QUICK[2:], "--op", "expand_fwd,post_fwd", *TINY)
        medians = [row["median_us"] for row in report["rows"]]
        self.assertEqual([row["op"] for row in report["rows"]], ["expand_fwd"] * 2 + ["post_fwd"] * 2)
        for i, speedup in enumerate(report["speedup_to_first_target"]):
            self.assertAlmostEqual(speedup, medians[i // 2 * 2] / medians[i], delta=1e-9 * speedup)
        self.assertEqual(len(report["device"].split(", ")), 2)

    def test_the_table_for_people(self):
        text = self.good("mhc-bench", *QUICK, "--op", "post_fwd", *TINY)
        self.assertRegex(text, r"^host: .*copy \d+ GB/s")
        for word in ("floor us", "x floor", "of copy", "GB/s", "post_fwd"):
            self.assertIn(word, text)
        self.assertNotIn("speed-up", text)

    def test_first_use(self):
        args = ["--op", "expand_fwd", "--tokens", "1,2", "--hidden-dim", "8", "--first-use"]
        uses = self.good_json("mhc-bench", *QUICK, *args, cache=self.path("cache"))["first_use"]
        self.assertEqual(len(uses), 1, "two token counts are one layer")
        self.assertEqual((uses[0]["op"], uses[0]["hidden_dim"], uses[0]["kernels"]), ("expand_fwd", 8, 1))
        self.assertGreater(uses[0]["empty_ms"], 0)
        self.assertGreater(uses[0]["full_ms"], 0)
        self.assertIn("empty cache ms", self.good("mhc-bench", *QUICK, *args))

    def test_help(self):
        text = self.good("mhc-bench", "-?")
        self.assertEqual(text, self.good("mhc-bench", "--help"))
        for flag in ("--op", "--target", "--tokens", "--batch-sizes", "--hidden-dim", "--hidden-dims", "--n-streams", "--dtype", "--warmup",
                     "--iters", "--copy-mb", "--output", "--baseline", "--last-level-cache-mb", "--emulator-speed", "--json", "--set", "--first-use", "--cache-dir", "--strict", "Example:", "Exit codes:"):
            self.assertIn(flag, text)
        self.assertTrue(text.isascii())
        self.assertRegex(self.good("mhc-bench", "--version"), r"^mhc-bench \d+\.\d+\.\d+\n$")


class Counts(ToolCase):
    """Emulated targets: counted, not timed."""

    COUNTS = ["wave_instructions", "vector", "transcendental", "scalar", "scalar_memory", "global", "lds", "matrix", "other", "barriers",
              "lds_cycles", "lds_conflict_cycles", "bytes_read", "bytes_written", "scalar_bytes_read", "shared_bytes",
              "lines_touched", "lines_missed"]
    CLASSES = COUNTS[1:9]

    def setUp(self):
        super().setUp()
        done = self.run_tool("mhc-bench", "--target", "emu:gfx942", "--op", "expand_fwd", "--tokens", "1", "--hidden-dim", "8")
        if done.returncode == 2 and "the emulator is not installed" in done.stderr:
            self.skipTest("no emulator")

    def count(self, *args, target="emu:gfx942"):
        return self.good_json("mhc-bench", "--target", target, *args)

    def test_fields_and_arithmetic(self):
        report = self.count("--op", "all", "--tokens", "3", "--hidden-dim", "64")
        self.assertEqual((report["rows"], report["copy_gbps"]), ([], {}), "an emulator has no honest time")
        self.assertEqual([row["op"] for row in report["counted"]], OPS)
        for row in report["counted"]:
            self.assertEqual((row["tokens"], row["hidden_dim"], row["n_streams"], row["dtype"]), (3, 64, 4, "bf16"))
            self.assertEqual((row["last_level_cache_bytes"], row["line_bytes"]), (256 << 20, 128))
            self.assertFalse([field for field in row if "_us" in field or "gbps" in field])
            counts = row["counts"]
            self.assertEqual(list(counts), self.COUNTS)
            self.assertEqual(counts["wave_instructions"], sum(counts[name] for name in self.CLASSES))
            self.assertEqual(row["per_token"], {name: count / 3 for name, count in counts.items()})
            self.assertGreater(counts["global"], 0)
            self.assertLessEqual(counts["lines_touched"], counts["lines_missed"])
            asked = counts["bytes_read"] + counts["bytes_written"] + counts["scalar_bytes_read"]
            self.assertLessEqual(counts["shared_bytes"], asked)
            self.assertAlmostEqual(row["data_bytes_per_ideal_byte"], (asked - counts["shared_bytes"]) / row["ideal_data_bytes"])
            self.assertAlmostEqual(row["missed_bytes_per_ideal_byte"], counts["lines_missed"] * 128 / row["ideal_bytes"])

    def test_parameters_are_counted_apart_from_data(self):
        post, pre, layer = self.count("--op", "post_fwd,pre_fwd,static_layer_fwd", "--tokens", "32", "--hidden-dim", "1280")["counted"]
        self.assertEqual(post["counts"]["shared_bytes"], 0)
        self.assertEqual(post["ideal_data_bytes"], post["ideal_bytes"])
        self.assertGreaterEqual(pre["counts"]["shared_bytes"], 24 * 4 * 1280 * 4, "all of fn is read")
        self.assertGreaterEqual(pre["ideal_bytes"] - pre["ideal_data_bytes"], 24 * 4 * 1280 * 4)
        self.assertGreaterEqual(layer["counts"]["shared_bytes"], 32 * 1280 * 2, "the norm's weight, for each token")

    def test_counts_are_the_same_with_any_number_of_threads(self):
        args = ["--op", "pre_fwd,post_fwd", "--tokens", "33", "--hidden-dim", "1280", "--last-level-cache-mb", "1"]
        mine = os.sched_getaffinity(0)
        several = self.count(*args)["counted"]
        try:
            os.sched_setaffinity(0, {min(mine)})
            self.assertEqual(self.count(*args)["counted"], several)
        finally:
            os.sched_setaffinity(0, mine)

    def test_the_size_of_the_cache(self):
        args = ["--op", "pre_fwd", "--tokens", "33", "--hidden-dim", "1280", "--last-level-cache-mb"]
        by_size = {mb: self.count(*args, str(mb))["counted"][0] for mb in (0, 1, 64)}
        for mb, row in by_size.items():
            self.assertEqual(row["last_level_cache_bytes"], mb << 20)
            self.assertEqual(row["counts"]["lines_touched"], by_size[0]["counts"]["lines_touched"])
        missed = {mb: row["counts"]["lines_missed"] for mb, row in by_size.items()}
        self.assertGreater(missed[0], missed[1], "without a cache every request misses")
        self.assertEqual(missed[64], by_size[64]["counts"]["lines_touched"], "all of it fits")

    def test_a_table_and_other_targets_beside(self):
        args = ["--op", "post_fwd", "--tokens", "3", "--hidden-dim", "64"]
        text = self.good("mhc-bench", "--target", "emu:gfx942,emu:gfx1100", *args)
        self.assertRegex(text, r"emu:gfx942: emulated gfx942: counted, not timed; last-level cache 256.0 MB, lines of 128 bytes")
        self.assertRegex(text, r"emu:gfx1100: .* last-level cache 96.0 MB")
        for word in ("VALU", "conflicts", "missed", "x ideal", "shared B", "data x ideal"):
            self.assertIn(word, text)
        self.assertNotIn(" us", text)
        report = self.good_json("mhc-bench", "--target", "emu:gfx942,host", "--warmup", "1", "--iters", "1", *args)
        self.assertEqual([row["target"] for row in report["rows"]], ["host"])
        self.assertEqual([row["target"] for row in report["counted"]], ["emu:gfx942"])

    def test_the_emulators_own_speed(self):
        row = self.count("--op", "post_fwd", "--tokens", "3", "--hidden-dim", "64", "--emulator-speed")["counted"][0]
        self.assertGreater(row["emulator_wave_instructions_per_cpu_second"], 0)

    def test_refusals(self):
        args = ["--op", "post_fwd", *TINY]
        for value in ("-1", "x", "1.5", "65537"):
            self.bad(2, ["--last-level-cache-mb", value, "0 to 65536"], "mhc-bench", "--target", "emu:gfx942", *args,
                     f"--last-level-cache-mb={value}")
        for flag in (["--warmup", "1"], ["--iters", "1"], ["--copy-mb", "1"]):
            self.bad(2, [flag[0], "counted"], "mhc-bench", "--target", "emu:gfx942", *args, *flag)
        for flag in (["--last-level-cache-mb", "1"], ["--emulator-speed"]):
            self.bad(2, [flag[0], "emulated targets", "emu:gfx942"], "mhc-bench", "--target", "host", *args, *flag)


class Refusals(ToolCase):
    def refused(self, words, *args, code=2):
        self.bad(code, words, "mhc-bench", *QUICK, *args)

    def test_lists(self):
        for flag, allowed in (("--tokens", "1 to 67108864"), ("--hidden-dim", "1 to 16777216"), ("--n-streams", "1 to 32")):
            for value in ("0", "-1", "x", "1.5", "99999999999999999999", "4x"):
                self.refused([flag, value, allowed], f"{flag}={value}")
            self.refused([flag, "empty"], flag, "4,,8")
            self.refused([flag, "empty"], f"{flag}=4,")
        self.refused(["--n-streams", "33"], "--n-streams", "33")
        self.refused(["post_fw", "post_fwd", "sinkhorn_fwd"], "--op", "post_fw")
        self.refused(["int8", "bf16"], "--dtype", "int8")
        for flag, value, allowed in (("--iters", "0", "1 to"), ("--warmup", "-1", "0 to"), ("--iters", "many", "whole number"),
                                     ("--copy-mb", "0", "1 to 65536")):
            self.bad(2, [flag, value, allowed], "mhc-bench", "--target", "host", f"{flag}={value}")

    def test_settings(self):
        self.refused(["--set hidden_dim=8", "--hidden-dim 8"], "--set", "hidden_dim=8")
        self.refused(["--set dtype=fp32", "--dtype"], "--set", "dtype=fp32")
        self.refused(["colour", "sinkhorn_eps"], "--set", "colour=red")
        self.refused(["preset", "liger"], "--set", "preset=fancy")
        self.refused("NAME=VALUE", "--set", "preset")
        self.refused(["alignment_bytes", "3"], "--set", "alignment_bytes=3")

    def test_targets_that_cannot_run_here_say_why(self):
        for target in ("gfx12345", "gfx1250"):
            error = self.bad(2, target, "mhc-bench", "--target", f"host,{target}", "--op", "expand_fwd", *TINY)
            self.assertGreater(len(error), 60, "the reason is there")
        self.bad(2, "empty", "mhc-bench", "--target", "", *TINY)
        self.bad(2, "empty", "mhc-bench", "--target", "host,", *TINY)

    def test_baselines(self):
        self.refused(["none.json", "No such file"], *TINY, "--baseline", self.path("none.json"))
        self.refused(["--baseline", self.dir], *TINY, "--baseline", self.dir)
        for text in ("", "{", "[]", '{"rows": 3}', '{"rows": [{"op": "post_fwd"}]}', '{"rows": [{"op": 4}]}', '{"rows": []}'):
            self.refused(["old.json", "--output"], *TINY, "--baseline", self.write("old.json", text))
        row = {"op": "post_fwd", "tokens": 1, "hidden_dim": 8, "n_streams": 4, "dtype": "bf16", "target": "host", "median_us": 1}
        self.refused(["none of the rows", "post_fwd 1 8"], *TINY, "--baseline", self.write("old.json", json.dumps({"rows": [row]})))

    def test_output_that_cannot_be_written_is_refused_before_anything_is_timed(self):
        self.refused(["out.json", "no directory"], *TINY, "--output", os.path.join(self.write("file", ""), "out.json"))
        self.refused(self.dir, *TINY, "--output", self.dir)

    def test_more_memory_than_there_is(self):
        self.refused(["post_fwd", "memory", "fewer tokens"], "--op", "post_fwd", "--tokens", "67108864", "--hidden-dim", "1048576")

    def test_strict_mode_compiles_nothing(self):
        done = self.run_tool("mhc-bench", *QUICK, "--op", "expand_fwd", *TINY, "--strict", cache=self.path("empty"))
        self.assertEqual(done.returncode, 1)
        self.assertTrue(re.search(r"mhc-prebuild|strict", done.stderr), done.stderr)

    def test_unknown_flags(self):
        self.refused(["mhc-bench --help"], "--colour", "red")
