// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// piece is what somebody on the wire sees: so many bytes, at a time since the
// question went by.
type piece struct {
	at   time.Duration
	size int
}

// features turns a wire into numbers: totals, times, quantiles and histograms of
// sizes and gaps, the first of both, and counts of pairs and triples of sizes.
func features(wire []piece) []float64 {
	var out []float64
	sizes, gaps := make([]float64, len(wire)), make([]float64, len(wire))
	total := 0
	for i, p := range wire {
		sizes[i] = float64(p.size)
		total += p.size
		if i > 0 {
			gaps[i] = float64(p.at - wire[i-1].at)
		}
	}
	last := wire[len(wire)-1].at
	out = append(out, float64(len(wire)), float64(total), float64(wire[0].at), float64(last), float64(last-wire[0].at), float64(total)/float64(len(wire)))
	for _, xs := range [][]float64{sizes, gaps[1:]} {
		hist := make([]float64, 24)
		var sum, square float64
		for _, x := range xs {
			sum += x
			square += x * x
			bin := min(23, int(x/8))
			if x > 1000 {
				bin = min(23, max(0, int(2*math.Log2(x/1e5))))
			}
			hist[bin]++
		}
		n := max(1, float64(len(xs)))
		out = append(out, sum/n, math.Sqrt(max(0, square/n-sum*sum/n/n)))
		for i := range hist {
			hist[i] /= n
		}
		out = append(out, hist...)
		for i := range 12 {
			x := -1.0
			if i < len(xs) {
				x = xs[i]
			}
			out = append(out, x)
		}
		sorted := slices.Sorted(slices.Values(xs))
		for q := range 11 {
			x := -1.0
			if len(sorted) > 0 {
				x = sorted[q*(len(sorted)-1)/10]
			}
			out = append(out, x)
		}
	}
	grams := make([]float64, 128)
	for i := 1; i < len(wire); i++ {
		a, b := wire[i-1].size%251, wire[i].size%251
		grams[(a*31+b)%64] += 1 / float64(len(wire))
		if i > 1 {
			grams[64+(wire[i-2].size%251*961+a*31+b)%64] += 1 / float64(len(wire))
		}
	}
	return append(out, grams...)
}

// forest is a random forest (Breiman, "Random Forests", 2001) whose cuts are drawn
// at random (Geurts and others, "Extremely randomized trees", 2006): as good here
// as boosted trees, and a page long.
type forest struct{ trees []*tree }

type tree struct {
	feature   int
	cut       float64
	low, high *tree
	share     []float64 // of each class, in a leaf
}

func grow(r *rand.Rand, xs [][]float64, ys []int, classes, trees int) forest {
	var f forest
	for range trees {
		rows := make([]int, len(xs))
		for i := range rows {
			rows[i] = r.IntN(len(xs))
		}
		f.trees = append(f.trees, split(r, xs, ys, rows, classes, 0))
	}
	return f
}

func gini(counts []float64, n float64) float64 {
	g := 1.0
	for _, c := range counts {
		g -= c / n * c / n
	}
	return g
}

func split(r *rand.Rand, xs [][]float64, ys, rows []int, classes, depth int) *tree {
	share := make([]float64, classes)
	for _, i := range rows {
		share[ys[i]]++
	}
	n := float64(len(rows))
	best, found := gini(share, n)-1e-9, (*tree)(nil)
	if len(rows) >= 8 && depth < 14 {
		for range 24 {
			k := r.IntN(len(xs[0]))
			lo, hi := math.Inf(1), math.Inf(-1)
			for _, i := range rows {
				lo, hi = min(lo, xs[i][k]), max(hi, xs[i][k])
			}
			if lo == hi {
				continue
			}
			cut := lo + (hi-lo)*r.Float64()
			if r.IntN(2) == 0 { // between the values that there are
				cut = xs[rows[r.IntN(len(rows))]][k]
			}
			below := make([]float64, classes)
			nb := 0.0
			for _, i := range rows {
				if xs[i][k] <= cut {
					below[ys[i]]++
					nb++
				}
			}
			if nb < 3 || n-nb < 3 {
				continue
			}
			above := make([]float64, classes)
			for c := range above {
				above[c] = share[c] - below[c]
			}
			if g := nb/n*gini(below, nb) + (n-nb)/n*gini(above, n-nb); g < best {
				best, found = g, &tree{feature: k, cut: cut}
			}
		}
	}
	if found == nil {
		for c := range share {
			share[c] /= n
		}
		return &tree{share: share}
	}
	var low, high []int
	for _, i := range rows {
		if xs[i][found.feature] <= found.cut {
			low = append(low, i)
		} else {
			high = append(high, i)
		}
	}
	found.low, found.high = split(r, xs, ys, low, classes, depth+1), split(r, xs, ys, high, classes, depth+1)
	return found
}

func (f forest) judge(x []float64, classes int) []float64 {
	out := make([]float64, classes)
	for _, t := range f.trees {
		for t.share == nil {
			if x[t.feature] <= t.cut {
				t = t.low
			} else {
				t = t.high
			}
		}
		for c, s := range t.share {
			out[c] += s
		}
	}
	return out
}

// attack trains on four fifths and judges the last, five times, and returns the
// mean over the classes of the area under the precision-recall curve of each
// against all others; chance is what it is for a guess: the mean share of a class.
func attack(r *rand.Rand, xs [][]float64, ys []int, classes, trees int) (auprc, chance float64) {
	scores := make([][]float64, len(xs))
	order := r.Perm(len(xs))
	for fold := range 5 {
		var train [][]float64
		var labels, test []int
		for i, k := range order {
			if i%5 == fold {
				test = append(test, k)
			} else {
				train, labels = append(train, xs[k]), append(labels, ys[k])
			}
		}
		f := grow(r, train, labels, classes, trees)
		for _, k := range test {
			scores[k] = f.judge(xs[k], classes)
		}
	}
	for c := range classes {
		auprc += precision(r, scores, ys, c) / float64(classes)
	}
	return auprc, 1 / float64(classes)
}

// precision is the average precision of one class. Where scores are equal, which
// padding brings about, their order is random.
func precision(r *rand.Rand, scores [][]float64, ys []int, class int) float64 {
	order := r.Perm(len(ys))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b][class], scores[a][class]) })
	hits, sum := 0.0, 0.0
	for i, k := range order {
		if ys[k] == class {
			hits++
			sum += hits / float64(i+1)
		}
	}
	return sum / max(1, hits)
}
