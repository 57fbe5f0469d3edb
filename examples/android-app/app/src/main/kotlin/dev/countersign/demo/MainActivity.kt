package dev.countersign.demo

import android.app.Activity
import android.os.Build
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import dev.countersign.Countersign
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch

/** One screen: enrol, call, and see the verdict with its reference. */
public class MainActivity : Activity(), CoroutineScope by MainScope() {
    private lateinit var demo: Demo
    private lateinit var output: TextView

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        demo = Demo(installation(), BuildConfig.API)
        output = TextView(this).apply { setTextIsSelectable(true) }
        val buttons = listOf("Enrol" to demo::enrol, "Call" to demo::call)
        setContentView(
            LinearLayout(this).apply {
                orientation = LinearLayout.VERTICAL
                setPadding(48, 96, 48, 48)
                for ((label, action) in buttons) addView(button(label) { show(action()) })
                addView(output)
            },
        )
        launch { demo.registration()?.let { output.text = getString(R.string.registration, it) } }
    }

    override fun onDestroy() {
        cancel()
        super.onDestroy()
    }

    private fun installation(): Countersign {
        val builder = Countersign.builder(BuildConfig.SERVICE, BuildConfig.CLIENT).api(BuildConfig.API)
            .appVersion(BuildConfig.VERSION_NAME)
        // An emulator has no hardware that could vouch for it; production policies refuse its key.
        val emulated = Build.HARDWARE in setOf("ranchu", "goldfish")
        return (if (emulated) builder.development(noBackupFilesDir) else builder.android(this)).build()
    }

    private fun button(label: String, action: suspend () -> Unit) = Button(this).apply {
        text = label
        setOnClickListener { pressed: View ->
            launch {
                pressed.isEnabled = false
                action()
                pressed.isEnabled = true
            }
        }
    }

    private fun show(shown: Shown) {
        val reference = shown.reference?.let { listOf(getString(R.string.reference, it)) }.orEmpty()
        output.text = (listOf(shown.verdict) + shown.details + reference).joinToString("\n")
    }
}
