package main

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*options{
		"start":                        {rounds: 6, pods: 2, concurrency: []int{1, 8}},
		"start --quick":                {rounds: 2, pods: 1, concurrency: []int{1, 8}},
		"start --quick --rounds 9":     {rounds: 9, pods: 1, concurrency: []int{1, 8}},
		"exec --concurrency 2,4":       {rounds: 6, concurrency: []int{2, 4}, commands: 40, containers: 100, seconds: 20},
		"exec --handler crun":          {rounds: 6, concurrency: []int{1, 8}, commands: 40, containers: 100, seconds: 20, handler: "crun"},
		"exec --quick":                 {rounds: 2, concurrency: []int{1, 8}, commands: 10, containers: 5, seconds: 3},
		"stream --mib 7 --json a.json": {rounds: 6, mib: 7, connections: 200, json: "a.json"},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, err := parse(strings.Fields(text))
			if err != nil {
				t.Fatal(err)
			}
			if got.suite != strings.Fields(text)[0] || got.rounds != want.rounds || got.pods != want.pods || got.json != want.json || got.handler != want.handler ||
				!slices.Equal(got.concurrency, want.concurrency) || got.commands != want.commands || got.containers != want.containers ||
				got.seconds != want.seconds || got.mib != want.mib || got.connections != want.connections {
				t.Errorf("got %+v", got)
			}
		})
	}
	for _, text := range []string{"", "end", "start --mib 3", "exec --rounds 0", "exec --concurrency 1,x", "stream more", "memory --handler crun"} {
		t.Run("not "+text, func(t *testing.T) {
			t.Parallel()
			if got, err := parse(strings.Fields(text)); err == nil {
				t.Errorf("got %+v", got)
			}
		})
	}
}
