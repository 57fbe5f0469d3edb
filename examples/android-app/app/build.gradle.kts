plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

// The SDK in this repository: its Kotlin and the code that is generated from its library, compiled with the app. A released
// app has the one line `implementation("dev.countersign:countersign:…")` instead of these three folders.
val countersign = rootDir.resolve("../..")
val generated = countersign.resolve("target/kotlin-generated")
val libraries = countersign.resolve("target/android-libraries")

android {
    namespace = "dev.countersign.demo"
    compileSdk = 36

    defaultConfig {
        applicationId = "dev.countersign.demo"
        minSdk = 24
        targetSdk = 36
        versionCode = 1
        versionName = "0.1.0"
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
        // -Pservice=… -Papi=…: another service than the one that `cargo xtask scene` starts.
        buildConfigField("String", "SERVICE", "\"${property("service", "http://127.0.0.1:8080")}\"")
        buildConfigField("String", "API", "\"${property("api", "http://127.0.0.1:8000")}\"")
        buildConfigField("String", "CLIENT", "\"${property("client", "com.example.app.dev")}\"")
    }

    buildFeatures { buildConfig = true }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
    sourceSets["main"].apply {
        kotlin.srcDirs(
            "src/model/kotlin",
            countersign.resolve("bindings/kotlin/src/main/kotlin").path,
            generated.path,
        )
        jniLibs.srcDir(libraries.path)
    }
    sourceSets["androidTest"].kotlin.srcDir(countersign.resolve("bindings/kotlin/src/cases/kotlin").path)
    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(countersign.resolve("bindings/kotlin/android/proguard.txt"))
        }
    }
}

kotlin { compilerOptions { jvmTarget = org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_11 } }

dependencies {
    implementation("com.squareup.okhttp3:okhttp:4.12.0")
    implementation("org.jetbrains.kotlinx:kotlinx-coroutines-android:1.10.2")
    implementation("net.java.dev.jna:jna:5.18.1@aar")
    // dev.countersign.ktor is for apps that use Ktor; it is compiled here with everything else.
    compileOnly("io.ktor:ktor-client-core-jvm:3.3.2")

    androidTestImplementation("androidx.test:runner:1.7.0")
    androidTestImplementation("androidx.test.ext:junit:1.3.0")
}

fun property(name: String, otherwise: String) = providers.gradleProperty(name).getOrElse(otherwise)
