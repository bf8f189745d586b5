package configsvc_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/goswale/swale/configsvc"
)

// sixLayers returns six documents of 200 keys each, of which half are in every
// layer.
func sixLayers() [][]byte {
	texts := make([][]byte, 6)
	for layer := range texts {
		doc := map[string]any{}
		for i := range 200 {
			name := fmt.Sprintf("setting-%03d", i)
			if i%2 == 1 {
				name = fmt.Sprintf("setting-%03d-of-%d", i, layer)
			}
			switch i % 4 {
			case 0:
				doc[name] = layer * i
			case 1:
				doc[name] = fmt.Sprint("a text of layer ", layer)
			case 2:
				doc[name] = map[string]any{"timeout": fmt.Sprint(layer, "s"), "enabled": i%3 == 0}
			default:
				doc[name] = []int{layer, i}
			}
		}
		texts[layer], _ = json.Marshal(doc)
	}
	return texts
}

func compileTexts(texts [][]byte) (*configsvc.Compiled, error) {
	layers := make([]configsvc.Layer, len(texts))
	for i, text := range texts {
		v, err := configsvc.Parse(text)
		if err != nil {
			return nil, err
		}
		layers[i] = configsvc.Layer{Name: fmt.Sprint(i), Value: v}
	}
	return configsvc.Compile(layers...)
}

func BenchmarkCompile(b *testing.B) {
	texts := sixLayers()
	b.Run("compile", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := compileTexts(texts); err != nil {
				b.Fatal(err)
			}
		}
	})
	c, err := compileTexts(texts)
	if err != nil {
		b.Fatal(err)
	}
	text := c.Value.JSON()
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v any
			if err := json.Unmarshal(text, &v); err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
