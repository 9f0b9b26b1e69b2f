package main

import (
	"slices"
	"testing"

	"github.com/g4fagent/g4fagent/api"
)

func TestFeaturesAreMadeOfOperations(t *testing.T) {
	t.Parallel()
	for _, name := range slices.Concat(diffOperations, fileOperations, workflowOperations, deploymentOperations, telemetryOperations, streamOperations, providerOperations) {
		if !slices.ContainsFunc(api.Operations(), func(o api.Operation) bool { return o.Name == name }) {
			t.Errorf("no operation is called %s", name)
		}
	}
}
